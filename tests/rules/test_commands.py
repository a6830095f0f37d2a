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


def test_check():
    """Shipped rules load, a single file with the field map beside it too."""
    for path in (FOLDER, FOLDER / "mass_delete_by_user.yml"):
        result = run("check", path)
        assert (result.exit_code, "correlation" in result.stdout) == (0, True), result.stderr


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
