"""`northbound lists` and `rules` say what is wrong with lists; without Kafka."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.commands.lists import read_rows
from topology.lists import ActiveList

CONFIG = """\
version: 1
kafka: {external: {bootstrap: '127.0.0.1:1'}}
sources: {q: {format: qumulo}}
lists:
  pairs: {key: [user, host]}
  common: {key: [ip], shared: true}
tenants: {acme: {sources: [q]}, beta: {sources: [q]}}
"""
RULE = """\
title: Asks
logsource: {product: test}
detection: {sel: {kind: ask}, condition: sel}
northbound:
  lists:
    - {in: LIST, key: [who, where]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration and a rule."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "northbound.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "rule.yml").write_text(RULE.replace("LIST", "pairs"), encoding="utf-8")
    (tmp_path / "other.yml").write_text(RULE.replace("LIST", "paris"), encoding="utf-8")
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    """Exit status, and all that was printed."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "paris"), "saw 'paris', expected a list of northbound.yaml: pairs, common"),
        (("add", "pairs", "eve", "nas"), "--tenant: missing; expected one of acme, beta"),
        (("add", "pairs", "eve", "--tenant", "acme"), "saw 'eve', expected user and host"),
        (("remove", "pairs", "eve", "", "--tenant", "acme"), "expected user and host"),
        (("remove", "pairs", "eve", "nas", "--tenant", "x"), "--tenant: saw 'x', expected one of"),
        (("add", "common", "::1", "--tenant", "acme"), "common is shared by all tenants"),
        (("add", "common", "::1", "--ttl", "soon"), "--ttl: saw 'soon', expected a time"),
        (("add", "common", "::1", "--value", "x"), "--value: saw 'x', expected name=text"),
    ],
)
def test_what_is_asked_for_wrongly(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    """Said at once, with status 2."""
    status, output = run("lists", *arguments, "--config", folder / "northbound.yaml")
    assert (status, told in output) == (2, True), output


def test_rows_of_a_file(tmp_path: Path) -> None:
    """Columns beside the key are values; an empty one is none, and one key may come again."""
    file = tmp_path / "rows.csv"
    file.write_text("host,user,reason\nnas,eve,left\nnas,bob,\n", encoding="utf-8")
    assert read_rows(file, ActiveList("pairs", ("user", "host"))) == [
        (("eve", "nas"), {"reason": "left"}),
        (("bob", "nas"), {}),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user,reason\neve,x\n", ["rows.csv:1: no column host; the key is user and host"]),
        ("user,host\n", ["rows.csv:1: no rows"]),
        ("user,host\neve,\na,b,c\n", ["rows.csv:2: an empty key", "rows.csv:3: more cells"]),
    ],
)
def test_mistakes_in_a_file(folder: Path, text: str, told: list[str]) -> None:
    """All of them, with their lines; nothing is written."""
    file = folder / "rows.csv"
    file.write_text(text, encoding="utf-8")
    command = ("lists", "import", "pairs", file, "--tenant", "acme", "--config")
    status, output = run(*command, folder / "northbound.yaml")
    assert status == 1
    for each in told:
        assert each.replace(" ", "") in output.replace(" ", ""), output


def test_rules_are_checked_against_the_lists_there_are(folder: Path) -> None:
    """With a configuration unknown lists are mistakes; without one there is nothing to compare."""
    config = ("--config", folder / "northbound.yaml")
    assert run("rules", "check", folder / "rule.yml", *config)[0] == 0
    status, output = run("rules", "check", folder / "other.yml", *config)
    assert status == 1
    assert "other.yml:6:northbound.lists.0.in:saw'paris'" in output.replace(" ", "")


def test_other_commands_take_rules_for_other_configurations(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list`, `match` and `explain` know the lists of the folder, and take others as rules say."""
    monkeypatch.chdir(folder)
    (folder / "event.ndjson").write_text('{"kind": "ask", "user": "u", "host": "h"}\n', "utf-8")
    for name in ("pairs", "paris"):
        text = RULE.replace("LIST", name)
        Path("rule.yml").write_text(text.replace(", key: [who, where]", ""), encoding="utf-8")
        for command in (
            ("rules", "list", "rule.yml", "--json"),
            ("rules", "explain", "rule.yml", "event.ndjson"),
            ("match", "--rules", "rule.yml", "event.ndjson"),
        ):
            status, output = run(*command)
            assert (status, "needs key" in output) == (name != "pairs", name != "pairs"), output
    assert "in paris" in run("rules", "list", "other.yml", "--json")[1]
