"""`northbound rules explain`: which part of a rule an event fails, with the values seen."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.rules_page import packs, rule_files

FOLDER = Path(__file__).parents[2] / "rules" / "qumulo"
DELETE = {
    "metadata": {"event_code": "fs_delete"},
    "status_code": "ok",
    "actor": {"user": {"name": "alice"}},
    "file": {"path": "/a/b.txt"},
}
RULE = """
title: Odd tool
id: 5d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
logsource: {product: windows, category: process_creation}
detection:
  tool:
    - Image|endswith: ['\\cmd.exe', '\\pwsh.exe']
    - CommandLine|contains|all: [-enc, hidden]
  words: [alpha, beta]
  robot: {User: svc}
  condition: (tool or words) and not robot
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def explain(tmp_path, rule, event, *options):
    file = tmp_path / "event.json"
    file.write_text(event if isinstance(event, str) else json.dumps(event), encoding="utf-8")
    result = CliRunner().invoke(
        app, ["rules", "explain", str(rule), str(file), "--json", *map(str, options)]
    )
    return result, [json.loads(line) for line in result.stdout.splitlines()]


def flat(part):
    """Text of each part and whether it holds."""
    return {part["text"]: part["matches"]} | {
        text: holds for each in part.get("parts", ()) for text, holds in flat(each).items()
    }


def test_a_correlation_and_its_rule(tmp_path):
    """The event is counted, and the group that it is counted for is told."""
    _, found = explain(tmp_path, FOLDER / "mass_delete_by_user.yml", DELETE)
    by_title = {entry["title"]: entry for entry in found}
    assert by_title["Mass delete by one user"]["counts"]
    assert by_title["Mass delete by one user"]["group"] == {"user": "alice"}
    denied = DELETE | {"status_code": "fs_access_denied_error"}
    _, found = explain(tmp_path, FOLDER / "mass_delete_by_user.yml", denied)
    rule = next(entry for entry in found if "condition" in entry)
    selection = rule["condition"]["parts"][0]
    verdicts = {part["text"]: (part["matches"], part["seen"]) for part in selection["parts"]}
    assert verdicts["operation: 'fs_delete'"] == (True, {"metadata.event_code": "fs_delete"})
    assert verdicts["status: 'ok'"] == (False, {"status_code": "fs_access_denied_error"})
    assert not rule["matches"]


def test_alternatives_values_and_keywords(tmp_path):
    """Each alternative, each value of a list and each keyword has a verdict of its own."""
    rule = tmp_path / "rule.yml"
    rule.write_text(RULE, encoding="utf-8")
    event = {"Image": r"C:\Windows\CMD.exe", "CommandLine": "x -enc y", "User": "svc", "m": "Beta"}
    _, (found,) = explain(tmp_path, rule, event)
    holds = flat(found["condition"])
    assert not found["matches"]
    assert holds["alternative 1"]
    assert holds[r"'\\cmd.exe'"]
    assert not holds[r"'\\pwsh.exe'"]
    assert not holds["alternative 2"]
    assert (holds["'-enc'"], holds["'hidden'"]) == (True, False)
    assert (holds["keyword 'alpha'"], holds["keyword 'beta'"]) == (False, True)
    assert (holds["tool"], holds["words"], holds["robot"]) == (True, True, True)
    _, (found,) = explain(tmp_path, rule, event | {"User": "eve"})
    assert found["matches"]


def test_the_alias_of_a_group(tmp_path):
    """A group's value is that of the field which the rule that counts the event gives for it."""
    rule = tmp_path / "rule.yml"
    base = "logsource: {product: test}\n"
    rule.write_text(
        f"title: A\nname: a\n{base}detection: {{sel: {{kind: a}}, condition: sel}}\n---\n"
        f"title: B\nname: b\n{base}detection: {{sel: {{kind: b}}, condition: sel}}\n---\n"
        "title: Both\ncorrelation:\n  type: temporal\n  rules: [a, b]\n  group-by: [who]\n"
        "  timespan: 1m\n  aliases: {who: {a: user, b: account}}\n",
        encoding="utf-8",
    )
    _, found = explain(tmp_path, rule, {"kind": "b", "user": "x", "account": "y"})
    both = next(entry for entry in found if "group" in entry)
    assert (both["rules"], both["group"]) == ({"a": False, "b": True}, {"who": "y"})


@pytest.mark.parametrize(
    "correlation",
    [
        "{type: event_count, rules: a, group-by: user, timespan: 1m, condition: {gte: 2}}",
        "{type: temporal, group-by: [user], timespan: 1m, condition: a AND NOT b}",
    ],
)
def test_names_may_stand_alone(tmp_path, correlation):
    """One rule, one field, and rules that only an extended condition names."""
    rule = tmp_path / "rule.yml"
    base = "logsource: {product: test}\n"
    rule.write_text(
        f"title: A\nname: a\n{base}detection: {{sel: {{kind: a}}, condition: sel}}\n---\n"
        f"title: B\nname: b\n{base}detection: {{sel: {{kind|neq: [a, c]}}, condition: sel}}\n---\n"
        f"title: Many\ncorrelation: {correlation}\n",
        encoding="utf-8",
    )
    result, found = explain(tmp_path, rule, {"kind": "a", "user": "x"})
    assert result.exit_code == 0, result.stderr
    many = next(entry for entry in found if "group" in entry)
    assert many["counts"]
    assert many["rules"]["a"]
    assert many["group"] == {"user": "x"}
    parts = flat(next(entry for entry in found if entry["title"] == "B")["condition"])
    assert parts["kind|neq: none of 2 values"] is False


def test_every_shipped_rule(tmp_path):
    """No shipped rule is too special to be explained."""
    for rule in (path for pack in packs() for path in rule_files(pack)):
        result, found = explain(tmp_path, rule, DELETE)
        assert result.exit_code == 0, result.stderr
        assert found


@pytest.mark.parametrize(
    ("event", "options", "problem"),
    [
        ("[1]\n", (), "event.json:1: is no event: expected a JSON object, saw list"),
        ("{}\n", ("--line", 3), "event.json:3: is no event: nothing in this line"),
    ],
)
def test_what_is_no_event(tmp_path, event, options, problem):
    """What is wrong is said with file and line."""
    result, _ = explain(tmp_path, FOLDER / "tree_delete.yml", event, *options)
    assert (result.exit_code, problem in result.stderr) == (1, True), result.stderr


def test_an_event_over_several_lines(tmp_path):
    """As people print it, from an editor with a byte order mark, too; broken, its line is told."""
    whole = json.dumps(DELETE, indent=2)
    for event in (whole, f"\ufeff{whole}\n", f"\n{whole}"):
        result, found = explain(tmp_path, FOLDER / "mass_delete_by_user.yml", event)
        assert result.exit_code == 0, result.stderr
        assert any(entry.get("counts") for entry in found)
    result, _ = explain(tmp_path, FOLDER / "tree_delete.yml", whole[:-1])
    assert (result.exit_code, "event.json:1: is no event" in result.stderr) == (1, True)


def test_a_folder_without_rules(tmp_path):
    """Silence would look like an event that nothing is to be said of."""
    result, _ = explain(tmp_path, tmp_path, DELETE)
    assert (result.exit_code, f"no rules under {tmp_path}" in result.stderr) == (1, True)


def test_a_rule_that_does_not_load(tmp_path):
    """The same message as `rules check` gives."""
    rule = tmp_path / "rule.yml"
    rule.write_text(RULE.replace("not robot", "not robots"), encoding="utf-8")
    result, _ = explain(tmp_path, rule, DELETE)
    assert (result.exit_code, f"{rule}:" in result.stderr) == (1, True)
