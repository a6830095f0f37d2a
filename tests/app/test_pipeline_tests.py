"""`northbound test`: it passes what is as expected, and says exactly what is not."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from app.cli import app

ROOT = Path(__file__).parents[2]
LINE = (
    '<14>1 2026-01-27T14:12:23.955800Z nas-1 qumulo - - - 10.0.0.7,"AD\\Eve",smb2,fs_delete,ok,7,'
    '"/data/a.txt",""'
)
CONFIG = f"""\
version: 1
kafka: {{embedded: {{}}}}
sources:
  nas:
    format: qumulo
    mutate: [{{field: actor.user.name, lower: true}}]
    filters: [{{name: scratch, drop: {{it: {{file.path|startswith: /scratch/}}}}}}]
    aggregate:
      - name: reads
        when: {{it: {{metadata.event_code: fs_read_data}}}}
        by: [file.path]
        window: 1m
  bsd: {{format: rfc3164}}
  nobody: {{format: plain}}
rules: [{ROOT / "rules" / "qumulo"}]
tenants:
  acme: {{sources: [nas, bsd], feeds: [alerts]}}
  other: {{sources: [bsd], raw_data: false}}
"""


def run(folder: Path, **test: Any) -> tuple[int, str]:
    """Exit status and output of one test of source nas."""
    (folder / "northbound.yaml").write_text(CONFIG, encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"tests": [{"name": "it", "source": "nas", **test}]}))
    result = CliRunner().invoke(app, ["test", "-c", str(folder / "northbound.yaml"), str(path)])
    return result.exit_code, result.output


def test_the_example_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """examples/pipeline-test.yaml fits the repository's northbound.yaml."""
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, ["test", "examples/pipeline-test.yaml"])
    assert (result.exit_code, result.output.count("ok  ")) == (0, 2), result.output


def test_what_is_as_expected(tmp_path: Path) -> None:
    """Mutated, filtered, broken, counted: each outcome of a line can be stated."""
    deletions = LINE.replace("2026-01-27T14:12:23.955800Z", "{time}").replace("a.txt", "{n%120}")
    status, output = run(
        tmp_path,
        lines=[
            LINE,
            LINE.replace("/data", "/scratch"),
            "x",
            {"line": deletions, "at": "1h", "repeat": 120, "every": "100ms"},
        ],
        events=[{"actor.user.name": "eve", "file": {"path": "/data/a.txt"}, "gone": None}]
        + [{"file.path": f"/data/{number}"} for number in range(120)],
        filtered=1,
        dead_letters=[{"stage": "parse"}],
        alerts=[{"title": "Mass delete by one user", "count": 120}],
    )
    assert (status, output) == (0, "ok   mine: it\n")


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (
            {"events": [{"actor.user.name": "Eve"}]},
            "events[0].actor.user.name: expected 'Eve', saw",
        ),
        ({"events": [{"actor": {"user": {"x": 1}}}]}, "events[0].actor.user.x: expected 1, saw no"),
        (
            {"events": [{"file.path": None}]},
            "events[0].file.path: expected None, saw '/data/a.txt'",
        ),
        ({"events": []}, "events: expected 0, saw 1\n"),
        ({"lines": ["x"], "events": [{}]}, "dead letter: parse: expected <PRI>VERSION, saw 'x'"),
        ({"filtered": 2}, "filtered: expected 2, saw 0"),
        ({"dead_letters": [{"stage": "parse"}]}, "dead_letters: expected 1, saw 0: none"),
        ({"lines": ["x"], "dead_letters": [{"stage": "match"}]}, "dead_letters[0]: expected match"),
        ({"alerts": [{"title": "Mass delete"}]}, "expected Mass delete; saw no alert"),
        ({"source": "bsd"}, "tenant: missing; expected one of acme, other"),
        ({"source": "bsd", "tenant": "x"}, "tenant: saw 'x', expected one of acme, other"),
        ({"source": "nobody"}, "no tenant receives nobody"),
        ({"source": "x"}, "source: saw 'x', expected one of nas, bsd, nobody"),
        ({"lines": []}, "mine.yaml:2: tests[0].lines: "),
        ({"lines": []}, "tests[0].lines: empty; expected at least 1 item"),
        ({"lines": [5, LINE]}, "tests[0].lines[0]: saw 5, expected a line in quotes, or a mapping"),
        ({"source": "x"}, "tests[0].source: saw 'x'"),
        ({"surprise": 1}, "tests[0].surprise: unknown key; see docs/testing.md"),
        ({"received": "2026-01-27"}, "tests[0].received: saw '2026-01-27', expected a time with"),
    ],
)
def test_what_is_not(tmp_path: Path, test: dict[str, Any], told: str) -> None:
    """The attribute, what was expected and what was seen; or what is wrong with the test itself."""
    status, output = run(tmp_path, **{"lines": [LINE], **test})
    assert status == 1
    assert told in output


def test_what_was_aggregated(tmp_path: Path) -> None:
    """The event, and how many lines it stands for; windows are closed in the end."""
    reads = LINE.replace("2026-01-27T14:12:23.955800Z", "{time}").replace(
        "fs_delete", "fs_read_data"
    )
    expected = {"unmapped.northbound_kind": "aggregated", "count": 20, "file.path": "/data/a.txt"}
    status, output = run(
        tmp_path,
        lines=[{"line": reads, "repeat": 20, "every": "1s"}],
        events=[expected],
        aggregated=20,
    )
    assert (status, output) == (0, "ok   mine: it\n")
    status, output = run(tmp_path, lines=[LINE], aggregated=1)
    assert status == 1
    assert "aggregated: expected 1, saw 0" in output


def test_lines_without_a_year(tmp_path: Path) -> None:
    """`received` says when lines come, which a BSD time needs."""
    lines = [{"line": "<13>{time:%b %d %H:%M:%S} host app: it", "at": "5s"}]
    for received in ("2024-02-29T10:00:00Z", "2031-12-31T23:59:50+01:00"):
        time = int(datetime.fromisoformat(received).timestamp() * 1000) + 5_000
        status, output = run(
            tmp_path,
            source="bsd",
            tenant="other",
            received=received,
            lines=lines,
            events=[{"time": time, "raw_data": None, "message": "it"}],
        )
        assert status == 0, output


@pytest.mark.parametrize(
    ("text", "seen"), [("", "empty;"), ("- a\n", "saw a list,"), ("a\n", "saw one value,")]
)
@pytest.mark.parametrize("command", [["test"], ["normalizers", "check"], ["normalizers", "test"]])
def test_a_file_without_keys_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, seen: str, command: list[str]
) -> None:
    """Whatever file it is: what it is, and where its keys are described."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "northbound.yaml").write_text(CONFIG, encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, [*command, str(path)])
    page = "docs/testing.md" if command == ["test"] else "docs/normalizers.md"
    told = f"{path}:1: file: {seen} expected keys and their values; see {page}\n"
    assert (result.exit_code, result.stderr) == (1, told)
