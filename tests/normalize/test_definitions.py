"""Normalizers in YAML: those shipped give valid OCSF, and every mistake in one is told."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from app.cli import app
from app.config import ConfigError, load
from app.normalizer_files import Loaded, load_normalizer
from app.normalizer_tests import cases, differences, events, expectation
from app.planning import build_plan
from app.reloading import look_at
from tests.normalize.test_golden import _validator
from topology.formats import decode

FOLDER = Path(__file__).parents[2] / "normalizers"
SHIPPED = sorted(FOLDER.glob("*.yaml"))
RECEIVED = 1_769_523_200_000


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_normalizers(path: Path) -> None:
    """Each has golden cases that pass, and its events validate against the published schema."""
    loaded = load_normalizer(path, "UTC")
    assert cases(path)
    for case in cases(path):
        seen = events(loaded, case)
        assert list(differences(case, seen)) == []
        for text in seen.splitlines():
            event = json.loads(text)
            validator = _validator(event["class_uid"], tuple(event["metadata"].get("profiles", [])))
            faults = list(validator.iter_errors(event))
            assert [f"{fault.json_path}: {fault.message}" for fault in faults] == [], event


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_batch_is_normalized_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No good line makes its batch fail, to be halved until each line is alone."""
    loaded = load_normalizer(path, "UTC")
    monkeypatch.setattr("topology.formats.isolate", lambda frame, work: ([work(frame)], []))
    for case in cases(path):
        assert events(loaded, case) == expectation(case).read_bytes()


BASE: dict[str, Any] = {
    "name": "mine",
    "version": "1",
    "product": {"name": "Mine"},
    "format": "kv",
    "events": [
        {
            "class": "Authentication",
            "when": {"it": {"act": "login"}},
            "set": {
                "user.name": {"field": ["user", "who"], "lower": True},
                "activity_id": 1,
                "severity_id": {"field": "level", "lookup": {"hi": 4}, "default": 1},
                "src_endpoint.port": {"field": "port", "cast": "integer"},
                "message": {"template": "{user} at {host}"},
                "time": {"field": "at", "parse_time": "%Y-%m-%d %H:%M"},
            },
        },
        {"class": "6003", "when": {"it": {"act": "call"}}, "set": {"activity_id": 99}},
    ],
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**BASE, **changes}, sort_keys=False), encoding="utf-8")
    return path


def made(loaded: Loaded, *lines: str) -> list[dict[str, Any]]:
    """Events as rows of the frame."""
    frame = pl.DataFrame(
        {
            "row": range(len(lines)),
            "raw": [line.encode() for line in lines],
            "received": [RECEIVED] * len(lines),
        },
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )
    decoded = decode(loaded.format, frame, loaded.options, loaded.normalizer)
    assert not decoded.failures.height
    return decoded.events.to_dicts()


LINES = (
    'act=login user=EVE host=h level=hi port=22 at="2026-01-27 15:12"',
    "act=call",
    "act=login who=Bob port=x level=lo",
    "nothing=here",
)


def test_what_a_definition_says(tmp_path: Path) -> None:
    """The first case that fits; what a row does not have is absent; the rest is a Base Event."""
    loaded = load_normalizer(written(tmp_path), "Europe/Berlin")
    login, call, other, rest = made(loaded, *LINES)
    assert (login["class_uid"], login["type_uid"], login["category_uid"]) == (3002, 300201, 3)
    assert (login["user.name"], login["src_endpoint.port"]) == ("eve", 22)
    assert (login["severity_id"], login["severity"]) == (4, "High")
    assert (login["message"], login["time"]) == ("EVE at h", 1_769_523_120_000)
    assert (call["class_name"], call["type_uid"]) == ("API Activity", 600399)
    assert (other["user.name"], other["src_endpoint.port"], other["severity_id"]) == (
        "bob",
        None,
        1,
    )
    assert (other["message"], other["time"]) == (None, None)
    assert (rest["class_uid"], rest["metadata.product.name"]) == (0, "Mine")
    assert json.loads(rest["unmapped.fields:json"]) == {"nothing": "here"}


def test_rows_do_not_depend_on_their_neighbours(tmp_path: Path) -> None:
    """Together, alone, and many times over: the same events."""
    loaded = load_normalizer(written(tmp_path), "UTC")
    together = made(loaded, *LINES * 40)
    for number, line in enumerate(LINES):
        (alone,) = made(loaded, line)
        for event in together[number :: len(LINES)]:
            same = {name: value for name, value in event.items() if value is not None}
            same["row"] = 0
            assert same == {name: value for name, value in alone.items() if value is not None}


def test_a_field_is_parsed_further(tmp_path: Path) -> None:
    """By the value of another one; what does not fit further keeps what it has."""
    path = written(
        tmp_path,
        format="json",
        then=[
            {"field": "a.text", "format": "kv", "when": {"it": {"kind": "kv"}}},
            {
                "field": "a.text",
                "format": "regexp",
                "options": {"pattern": "^(?P<user>[^ ]+) (?P<act>login)"},
                "when": {"it": {"kind": "words"}},
            },
        ],
    )
    found = made(
        load_normalizer(path, "UTC"),
        '{"kind": "kv", "a": {"text": "act=login user=Eve"}}',
        '{"kind": "words", "a": {"text": "Bob login"}}',
        '{"kind": "words", "a": {"text": "nothing"}, "act": "call"}',
        '{"kind": 7}',
    )
    assert [event["class_uid"] for event in found] == [3002, 3002, 6003, 0]
    assert [event["user.name"] for event in found] == ["eve", "bob", None, None]


EVENT = BASE["events"][0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": "x"}, "mine.yaml:5: format: saw 'x', expected one of auto"),
        ({"surprise": 1}, "surprise: unknown key; see docs/normalizers.md"),
        (
            {"options": {"field_delimitr": ";"}},
            "options.field_delimitr: unknown option; expected one of timezone, reference, field_",
        ),
        ({"format": "regexp", "options": {"pattern": "("}}, "options.pattern: saw '('"),
        ({"format": "regexp"}, "options: format regexp needs pattern: a regular expression with"),
        (
            {"then": [{"field": "a", "format": "regexp"}]},
            "then[0].options: format regexp needs pattern",
        ),
        *(
            ({"events": [{"class": "4001", "set": given}]}, f"events[0].set.{told}")
            for given, told in (
                ({"row": 1}, "row: saw 'row', which cannot be changed"),
                ({"raw_data": "x"}, "raw_data: saw 'raw_data', which cannot be changed"),
                ({"@class": 1}, "@class: saw '@class', which cannot be changed"),
                ({"unmapped.x:json": "{"}, "unmapped.x:json: saw 'unmapped.x:json', which is no"),
                ({"file": "x"}, "file: saw 'file', which is an object; expected an attribute of"),
                ({"time.x": "x"}, "time.x: saw 'time.x', but time is a value"),
                ({"unmapped.fields": "x"}, "unmapped.fields: saw 'unmapped.fields', where the"),
                ({"unmapped.a": "x", "unmapped.a.b": "x"}, "unmapped.a: is a value here, and an"),
                ({"type_uid": 1}, "type_uid: follows from class and activity_id by itself"),
                ({"time": "now"}, "time: gives text; expected a whole number (cast: integer)"),
                ({"activity_id": {"field": "a"}}, "activity_id: gives text; expected a whole"),
                ({"file.uid": {"field": "a", "cast": "integer"}}, "file.uid: gives a whole number"),
                ({"message": {"template": "{a"}}, "message.template: saw '{a', expected every"),
            )
        ),
        ({"events": [{"class": "²", "set": {}}]}, "events[0].class: saw '²', expected one of"),
        ({"then": [{"field": "a", "format": "x"}]}, "then[0].format: saw 'x'"),
        (
            {"then": [{"field": "a", "format": "regexp", "options": {"pattern": "("}}]},
            "then[0].options.pattern: saw '('",
        ),
        (
            {"then": [{"field": "a", "format": "kv", "when": {"it": {"a|no": 1}}}]},
            "then[0].when.it.a|no: Unknown modifier",
        ),
        ({"events": [{"class": "Nothing", "set": {}}]}, "events[0].class: saw 'Nothing', expected"),
        (
            {"events": [{"class": "4001", "set": {"a": {"field": "b", "regexp": "("}}}]},
            "events[0].set.a.regexp: saw '('",
        ),
        (
            {"events": [{"class": "4001", "set": {"a": {"lower": True}}}]},
            "events[0].set.a: expected either field or template",
        ),
        (
            {"events": [EVENT, {"class": "4001", "set": {"activity_id": "1"}}]},
            "events[1].set.activity_id: is String here and Int64 in events[0]",
        ),
        (
            {"events": [{"class": "4001", "set": {"a": {"field": "b", "default": 1}}}]},
            "events[0].set.a.default: saw 1, expected a value of type String",
        ),
    ],
)
def test_mistakes(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """File, line, key, what was seen and what was expected; and a source with it does not start."""
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        load_normalizer(path, "UTC")
    assert told in str(caught.value)
    assert len(caught.value.problems) == 1, "one mistake is told once"
    (tmp_path / "northbound.yaml").write_text(
        "version: 1\nkafka: {embedded: {}}\nsources: {a: {normalizer: mine.yaml}}\n"
    )
    with pytest.raises(ConfigError, match=r"mine\.yaml:\d+: "):
        build_plan(load(tmp_path / "northbound.yaml"), {})


def test_a_source_has_one_or_the_other(tmp_path: Path) -> None:
    """A format, or a normalizer that says its format."""
    path = tmp_path / "northbound.yaml"
    path.write_text("version: 1\nkafka: {embedded: {}}\nsources: {a: {}}\n")
    with pytest.raises(ConfigError, match="expected either format or normalizer"):
        load(path)
    written(tmp_path, logsource={"product": "mine"})
    path.write_text("version: 1\nkafka: {embedded: {}}\nsources: {a: {normalizer: mine.yaml}}\n")
    source = build_plan(load(path), {}).sources["a"]
    assert source.format == "kv"
    assert source.normalizer is not None
    assert source.logsource is not None
    assert source.logsource.product == "mine"


def test_a_changed_file_is_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From one batch to the next; one with a mistake, or another format, is told and not used."""
    path = written(tmp_path)
    config = tmp_path / "northbound.yaml"
    config.write_text("version: 1\nkafka: {embedded: {}}\nsources: {a: {normalizer: mine.yaml}}\n")
    source = build_plan(load(config), {}).sources["a"]

    def product() -> str:
        own = source.own_normalizer
        assert own is not None
        loaded = Loaded(own, source.format, source.options, None)
        return str(made(loaded, "act=login")[0]["metadata.product.name"])

    def change(**changes: Any) -> None:
        new = path.with_suffix(".new")
        written(tmp_path, **changes).rename(new)
        new.rename(path)
        for _ in range(3):
            look_at([source.normalizer])

    assert product() == "Mine"
    change(product={"name": "Other"}, version="2")
    assert product() == "Other"
    change(product={"name": "Third"}, surprise=1)
    change(product={"name": "Fourth"}, format="json")
    assert product() == "Other"
    assert "surprise: unknown key" in caplog.text
    assert "taken up when workers start" in caplog.text
    change(product={"name": "Fifth"})
    assert product() == "Fifth"


def test_the_command(tmp_path: Path) -> None:
    """check and test say what is wrong; --update writes what came."""
    path = written(tmp_path)
    run = CliRunner()
    assert "1 normalizer loads" in run.invoke(app, ["normalizers", "check", str(path)]).stdout
    assert "no tests" in run.invoke(app, ["normalizers", "test", str(path)]).stderr
    folder = tmp_path / "tests" / "mine"
    folder.mkdir(parents=True)
    (folder / "one.log").write_text("act=login user=eve\n")
    missing = run.invoke(app, ["normalizers", "test", str(path)])
    assert (missing.exit_code, "is missing" in missing.stdout) == (1, True)
    assert run.invoke(app, ["normalizers", "test", "--update", str(path)]).exit_code == 0
    assert run.invoke(app, ["normalizers", "test", str(tmp_path)]).stdout == "ok   mine: one\n"
    (folder / "one.log").write_text("act=login user=bob\n")
    changed = run.invoke(app, ["normalizers", "test", str(path)])
    assert (changed.exit_code, "bob" in changed.stdout) == (1, True)


def test_a_case_that_gives_no_events_stops_no_other_case(tmp_path: Path) -> None:
    """It fails with the line and the reason; so does one that is no file."""
    path = written(tmp_path, format="json")
    folder = tmp_path / "tests" / "mine"
    (folder / "b.log").mkdir(parents=True)
    (folder / "a.log").write_text('{"act":"login"}\nno JSON\n')
    (folder / "c.log").write_text('{"act":"login","user":"eve"}\n')
    CliRunner().invoke(app, ["normalizers", "test", "--update", str(path)])
    result = CliRunner().invoke(app, ["normalizers", "test", str(path)])
    assert result.exit_code == 1
    failed, why, other, problem, good = result.stdout.splitlines()
    assert (failed, other, good) == ("FAIL mine: a", "FAIL mine: b", "ok   mine: c")
    assert f"{folder}/a.log:2: parse: not JSON" in why
    assert f"{folder}/b.log: cannot be read: Is a directory" in problem


def test_the_page_shows_what_works(tmp_path: Path) -> None:
    """The example of docs/normalizers.md is a normalizer."""
    page = (FOLDER.parent / "docs" / "normalizers.md").read_text(encoding="utf-8")
    path = tmp_path / "sshd.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    (event,) = made(
        load_normalizer(path, "UTC"),
        "<38>Jan 27 14:12:23 web1 sshd[8]: Failed password for eve from 10.0.0.7 port 51234 ssh2",
    )
    assert (event["status"], event["message"]) == ("Failure", "eve from 10.0.0.7")


def test_parse_with_a_normalizer(tmp_path: Path) -> None:
    """`parse --normalizer` gives the events that the golden pair has, but for the year of times
    without one; a normalizer with a mistake is told with its line."""
    case = FOLDER / "tests" / "sudo" / "commands.log"
    arguments = ["parse", "--normalizer", str(FOLDER / "sudo.yaml")]
    result = CliRunner().invoke(app, arguments, input=case.read_bytes())
    assert result.exit_code == 0, result.stderr
    seen = [json.loads(line) for line in result.stdout.splitlines()]
    wanted = case.with_suffix(".expected.json").read_text("utf-8").splitlines()
    for event, other in zip(seen, map(json.loads, wanted), strict=True):
        assert event | {"time": 0} == other | {"time": 0}
    path = written(tmp_path, format="x")
    result = CliRunner().invoke(app, ["parse", "--normalizer", str(path)], input=b"a\n")
    assert (result.exit_code, f"{path}:5: format: saw 'x'" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", ["check", "test"])
def test_a_folder_without_normalizers_is_a_mistake(tmp_path: Path, command: str) -> None:
    """It is no success to have checked nothing."""
    (tmp_path / "x.yml").write_text("name: x", encoding="utf-8")
    result = CliRunner().invoke(app, ["normalizers", command, str(tmp_path)])
    assert (result.exit_code, "no normalizers in it" in result.stderr) == (2, True)
