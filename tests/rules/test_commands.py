"""`northbound rules` on shipped and on broken rules."""

import json
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


def test_nothing_there(tmp_path):
    """A path that does not exist is wrong usage; a folder without tests says so."""
    assert run("check", tmp_path / "none").exit_code == 2
    shutil.copy(FOLDER / "tree_delete.yml", tmp_path)
    result = run("test", tmp_path)
    assert (result.exit_code, "no tests in" in result.stderr) == (1, True)


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
    result = run("list", FOLDER, "--logsource", "windows")
    assert (result.exit_code, "saw 'windows'" in result.stderr) == (2, True)


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
