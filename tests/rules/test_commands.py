"""`northbound rules` on shipped and on broken rules."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app

FOLDER = Path(__file__).parents[2] / "rules" / "qumulo"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*arguments):
    return CliRunner().invoke(app, ["rules", *map(str, arguments)])


def checked(*arguments):
    """The result of `rules check`, and what it says of each rule, by title."""
    result = run("check", *arguments)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return result, {row["title"]: row for row in rows}


def test_check():
    """Shipped rules load, a file with the field map beside it too; what each needs is told."""
    for path in (FOLDER, FOLDER / "mass_delete_by_user.yml"):
        result, rules = checked(path)
        assert (result.exit_code, result.stderr) == (0, "")
        mass = rules["Mass delete by one user"]
        assert (mass["loads"], mass["kind"], mass["fields"]) == (True, "event_count", "user")
        base = rules["File deleted on Qumulo"]
        assert (base["logsource"], base["kind"]) == ("product=qumulo,service=audit", "base")
        assert "metadata.event_code" in base["fields"].split()


MIXED = """title: Sound
id: 5d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
logsource: {product: windows, category: process_creation}
detection:
  sel:
    CommandLine|contains: /q
    Image|endswith: cmd.exe
  unused: {User: root}
  number: {EventID: '1'}
  stars: {ParentImage: '*sh*'}
  condition: sel or number or stars
tags: [attack.t1059, tlp.orange]
level: low
---
title: Broken
id: 6d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
logsource: {product: windows, category: process_creation}
detection:
  sel:
    Image|contans: cmd
    User: root
  condition: sel
---
title: Over it
correlation:
  type: event_count
  rules: 5d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
  group-by: User
  timespan: 1m
  condition: {gte: 0, lte: few}
---
title: Not those of admins
logsource: {product: windows}
filter:
  rules: any
  sel: {User: admin}
  condition: not sel
"""


def test_check_says_it_of_each_rule(tmp_path):
    """One that does not load keeps nobody from seeing what the others are; validators are asked."""
    file = tmp_path / "r.yml"
    file.write_text(MIXED, encoding="utf-8")
    result, rules = checked(file)
    assert result.exit_code == 1
    assert {title: row["loads"] for title, row in rules.items()} == {
        "Sound": True,
        "Broken": False,
        "Over it": False,
        "Not those of admins": True,
    }
    (problem,) = rules["Broken"]["problems"]
    assert problem.startswith(f"{file}:20: detection.sel.Image|contans: Unknown modifier")
    assert problem in result.stderr
    (problem,) = rules["Over it"]["problems"]
    assert problem.startswith(f"{file}:30: correlation.condition.lte: saw 'few'")
    assert rules["Broken"]["fields"] == "Image User"
    assert rules["Broken"]["logsource"] == "product=windows,category=process_creation"
    assert rules["Not those of admins"]["kind"] == "filter"
    notes = [note.removeprefix(f"{file}:") for note in rules["Sound"]["notes"]]
    assert notes == [
        (
            "8: detection.unused: high: Rule defines detection that is not referenced from "
            "condition: unused"
        ),
        "9: detection.number.EventID: low: A number was expressed as string: '1'",
        (
            "10: detection.stars.ParentImage: low: String contains wildcards at beginning and end "
            "instead of being modified with contains modifier: ParentImage"
        ),
        "12: tags: medium: Invalid TLP tagging: tlp.orange",
    ]
    assert "Rule has no identifier" in rules["Over it"]["notes"][0]


def test_check_asks_no_network(tmp_path, monkeypatch):
    """Validators that download lists are left out."""
    monkeypatch.setattr("urllib.request.urlopen", None)
    monkeypatch.setattr("sigma.data.mitre_attack.urlopen", None)
    monkeypatch.setattr("sigma.data.mitre_d3fend.urlopen", None)
    (tmp_path / "r.yml").write_text(
        MIXED.partition("---")[0].replace("tlp.orange", "d3fend.d3-x"), encoding="utf-8"
    )
    result, rules = checked(tmp_path)
    assert (result.exit_code, rules["Sound"]["loads"]) == (0, True)


def test_check_tells_every_mistake(tmp_path):
    """File, line, key and what was seen; fields that the map does not know among them."""
    shutil.copy(FOLDER / "fieldmap.yml", tmp_path)
    text = (FOLDER / "mass_delete_by_user.yml").read_text(encoding="utf-8")
    broken = text.replace("timespan: 1m", "timespan: 1 minute").replace("status: ok", "state: ok")
    (tmp_path / "broken.yml").write_text(broken, encoding="utf-8")
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert "correlation.timespan: Timespan '1 minute' is invalid" in result.stderr
    assert (
        "field 'state' is not in the field map; known: after, before, cluster, extension"
        in result.stderr
    )
    assert f"{tmp_path}/broken.yml:" in result.stderr


def test_list():
    """Every rule with its log source and where it is."""
    listed = [json.loads(line) for line in run("list", "--json", FOLDER).stdout.splitlines()]
    kinds = {entry["title"]: entry["kind"] for entry in listed}
    assert kinds["Mass delete by one user"] == "event_count"
    assert kinds["Directory tree deleted"] == "event"
    assert {entry["logsource"] for entry in listed} == {"product=qumulo,service=audit"}


def test_test(tmp_path):
    """Streams pass as shipped; one that no longer holds fails with what came instead."""
    (tmp_path / "tests").mkdir()
    for name in ("fieldmap.yml", "tree_delete.yml", "tests/tree_delete.yml"):
        shutil.copy(FOLDER / name, tmp_path / name)
    assert run("test", tmp_path).exit_code == 0
    rule = tmp_path / "tree_delete.yml"
    text = rule.read_text(encoding="utf-8").replace("fs_tree_delete", "fs_tree_delta")
    rule.write_text(text, encoding="utf-8")
    result = run("test", tmp_path)
    assert result.exit_code == 1
    assert "expected Directory tree deleted; saw no alert" in result.stdout


def test_tests_of_a_file_and_of_folders(tmp_path):
    """A file has those of its name and no others, a folder also those in folders below it, which
    are not about each other's rules."""
    result = run("test", FOLDER / "tree_delete.yml")
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines
    assert all(line.startswith("ok   tree_delete: ") for line in lines)
    for name in ("fieldmap.yml", "tree_delete.yml", "tests/tree_delete.yml"):
        (tmp_path / "nas" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FOLDER / name, tmp_path / "nas" / name)
    assert run("test", tmp_path).stdout == result.stdout
    other = tmp_path / "other" / "also.yml"
    other.parent.mkdir()
    shutil.copy(FOLDER / "fieldmap.yml", other.parent)
    text = (FOLDER / "tree_delete.yml").read_text(encoding="utf-8")
    text = re.sub("(?m)^id: .*$", "name: also", text).replace("Directory tree deleted", "Also")
    other.write_text(text, encoding="utf-8")
    assert run("test", tmp_path).stdout == result.stdout  # streams are about the rules around them
    shutil.move(other, tmp_path / "nas" / "also.yml")
    assert "saw Also, Directory tree deleted" in run("test", tmp_path).stdout
    (tmp_path / "nas" / "also.yml").unlink()
    tests = tmp_path / "nas" / "tests"
    (tests / "tree_delete.yml").rename(tests / "tree_delete.yaml")
    for path in (tmp_path / "nas", tmp_path / "nas" / "tree_delete.yml"):
        assert run("test", path).stdout == result.stdout


@pytest.mark.parametrize(
    ("events", "status", "told"),
    [
        ("[]", 0, "ok   tree_delete: none"),
        ("[{operation: fs_delete, path: '/{n%0}'}]", 1, "4: tests[0].events[0]: saw '{n%0}'"),
    ],
)
def test_odd_streams(tmp_path, events, status, told):
    """A stream without events has no alerts; what cannot be counted is told with its line."""
    for name in ("fieldmap.yml", "tree_delete.yml"):
        shutil.copy(FOLDER / name, tmp_path / name)
    (tmp_path / "tests").mkdir()
    text = f"tests:\n  - name: none\n    events:\n      {events}\n    alerts: []\n"
    (tmp_path / "tests" / "tree_delete.yml").write_text(text, encoding="utf-8")
    result = run("test", tmp_path)
    assert (result.exit_code, told in result.output) == (status, True), result.output


def test_nothing_there(tmp_path):
    """A path that does not exist is wrong usage; a folder without rules or tests says so."""
    assert run("check", tmp_path / "none").exit_code == 2
    result = run("check", tmp_path)
    assert (result.exit_code, f"no rules under {tmp_path}" in result.stderr) == (1, True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "tree_delete.yml").write_text("tests: []\n", encoding="utf-8")
    shutil.copy(FOLDER / "tree_delete.yml", tmp_path)
    result = run("test", tmp_path)
    assert (result.exit_code, "no tests in" in result.stderr) == (1, True)


def test_one_file_by_several_names(tmp_path, monkeypatch):
    """A file that is named twice, or by a link, has its rules once."""
    shutil.copy(FOLDER / "tree_delete.yml", tmp_path / "b.yml")
    (tmp_path / "c.yml").symlink_to("b.yml")
    monkeypatch.chdir(tmp_path)
    for paths in (["."], ["b.yml", tmp_path / "b.yml"], ["c.yml", "."]):
        result, rules = checked(*paths)
        assert (result.exit_code, list(rules)) == (0, ["Directory tree deleted"]), result.stderr


def test_list_is_narrowed_down():
    """By log source, level, tag and status; a log source that is none is refused."""

    def titles(*options):
        result = run("list", "--json", FOLDER, *options)
        assert result.exit_code == 0, result.stderr
        return {json.loads(line)["title"] for line in result.stdout.splitlines()}

    everything = titles()
    high = titles("--level", "high")
    assert "Directory tree deleted" in high < everything
    assert titles("--logsource", "product=qumulo,service=audit") == everything
    assert titles("--logsource", "product=windows") == set()
    impact = titles("--tag", "attack.impact")
    assert "Ransom note in several directories" in impact < everything
    assert titles("--status", "deprecated") == set()
    for option in ("--logsource", "--level", "--status"):
        result = run("list", FOLDER, option, "windows")
        assert (result.exit_code, f"{option}: saw 'windows'" in result.stderr) == (2, True)


def test_list_knows_tags_in_capitals(tmp_path):
    """As SigmaHQ's rules once had them; rules of a file are in its order."""
    text = MIXED.partition("---")[0].replace("t1059", "T1059")
    others = [
        f"---\ntitle: Rule {number}\nlogsource: {{product: x}}\n"
        "detection: {sel: {a: b}, condition: sel}\n"
        for number in range(2)
    ]
    (tmp_path / "r.yml").write_text(text + "".join(others), encoding="utf-8")
    (tmp_path / "q.yml").write_text("# " * 80 + others[0].replace("0", "2"), encoding="utf-8")
    for options, titles in {
        (): ["Rule 2", "Sound", "Rule 0", "Rule 1"],
        ("--tag", "attack.t1059"): ["Sound"],
        ("--tag", "attack.T1059"): ["Sound"],
        ("--tag", "T1059"): ["Sound"],
        ("--tag", "1059"): [],
    }.items():
        listed = run("list", tmp_path, *options).stdout.splitlines()
        assert [json.loads(line)["title"] for line in listed] == titles


def test_placeholders_beside_rules(tmp_path):
    """placeholders.yml is taken for a file and for a folder; what is wrong in it has its line."""
    (tmp_path / "rule.yml").write_text(
        "title: Admin\nlogsource: {product: test}\n"
        "detection: {sel: {user|expand: '%admins%'}, condition: sel}\n",
        encoding="utf-8",
    )
    assert "has the placeholder %admins%" in run("check", tmp_path).stderr
    lists = tmp_path / "placeholders.yml"
    lists.write_text("other: x\nadmins: [root, toor]\n", encoding="utf-8")
    for path in (tmp_path, tmp_path / "rule.yml"):
        result = run("check", path)
        assert (result.exit_code, result.stderr) == (0, ""), path
    event = tmp_path / "event.json"
    event.write_text('{"user": "toor"}', encoding="utf-8")
    explained = json.loads(run("explain", tmp_path / "rule.yml", event, "--json").stdout)
    assert explained["matches"]
    lists.write_text("other: x\nadmins: [root, {}]\n", encoding="utf-8")
    result = run("check", tmp_path)
    assert (result.exit_code, f"{lists}:2: admins: saw {{}}" in result.stderr) == (1, True)
