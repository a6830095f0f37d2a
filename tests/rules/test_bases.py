"""Correlations whose bases stand in another file: one that is named too, or one of a deployment."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.explaining import as_lines

CONFIG = """\
version: 1
kafka: {external: {bootstrap: '127.0.0.1:1'}}
sources: {q: {format: qumulo}}
rules: [deployed]
tenants: {acme: {sources: [q], rules: [of-acme]}}
"""
DELETED = "7b0a4dd1-7f35-4b3c-9f7b-0a5d3c1e2f40"
FIELDS = "product: qumulo\nfields: {operation: metadata.event_code, who: actor.user.name}\n"
BASE = f"""\
title: Another

name: another
logsource: {{product: qumulo, service: audit}}
detection: {{sel: {{operation: fs_read_data}}, condition: sel}}
---
title: Deleted
id: {DELETED}
name: deleted
logsource: {{product: qumulo, service: audit}}
detection: {{sel: {{operation: fs_delete}}, condition: sel}}
"""
MANY = """\
title: Many deleted
name: many
correlation:
  type: event_count
  rules:
    - NAME
  group-by: [who]
  timespan: 1m
  condition: {gte: 2}
level: high
"""
STREAM = """\
tests:
  - name: two of one user
    events: [{operation: fs_delete, user: eve, repeat: 2}, {operation: fs_read_data, user: eve}]
    alerts: [{title: Many deleted, group: {who: eve}, count: 2}]
"""
EVENT = {"metadata": {"event_code": "fs_delete"}, "actor": {"user": {"name": "eve"}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment, and in mine/many.yml a correlation over one of its rules."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "northbound.yaml": CONFIG,
        "deployed/base.yml": BASE,
        "deployed/fieldmap.yml": FIELDS,
        "of-acme/none.yml": "",
        "mine/many.yml": MANY.replace("NAME", "deleted"),
        "mine/tests/many.yml": STREAM,
        "event.json": json.dumps(EVENT),
    }.items():
        write(tmp_path / name, text)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def run(*arguments: object) -> list[dict[str, Any]]:
    """The JSON lines of a command that succeeds."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def told(*arguments: object) -> str:
    """Standard error of a command that fails."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1, result.output
    return result.stderr


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("deleted", DELETED),
        (DELETED, DELETED),
        (DELETED.upper(), DELETED),
        (DELETED, f"'{{{DELETED.upper()}}}'"),
    ],
)
def test_a_base_of_the_deployment(folder: Path, name: str, spelled: str) -> None:
    """It is found by name and by id, and what is said is said of the named rules alone."""
    write(folder / "deployed/base.yml", BASE.replace(DELETED, spelled))
    write(folder / "mine/many.yml", MANY.replace("NAME", name))
    (checked,) = run("rules", "check", "mine")
    assert (checked["title"], checked["loads"]) == ("Many deleted", True)
    (listed,) = run("rules", "list", "mine")
    assert (listed["title"], listed["logsource"]) == (
        "Many deleted",
        "product=qumulo,service=audit",
    )
    result = CliRunner().invoke(app, ["rules", "test", "mine"])
    assert (result.exit_code, result.stdout) == (0, "ok   many: two of one user\n"), result.output
    many, base = run("rules", "explain", "mine/many.yml", "event.json")
    assert (many["rules"], many["group"]) == ({name: True}, {"who": "eve"})
    assert (base["title"], base["matches"]) == ("Deleted", True)
    assert base["path"] == f"{folder}/deployed/base.yml:7"
    assert next(as_lines(base)) == f"✓ Deleted    [{folder}/deployed/base.yml:7]"
    assert next(as_lines(many)) == "✓ Many deleted (correlation)"
    events = "".join(f'{{"operation": "fs_delete", "who": "eve", "time": {n}}}\n' for n in (1, 2))
    write(folder / "event.json", events)
    (hit,) = run("match", "--rules", "mine", "event.json")
    assert (hit["title"], hit["events"]) == ("Many deleted", [0, 1])


def test_without_a_deployment_the_other_file_is_named(folder: Path) -> None:
    """Several paths; alone it is said which file, line and name it is about, and what to do."""
    (folder / "northbound.yaml").unlink()
    named = ["mine/many.yml", "deployed/base.yml"]
    titles = {"Many deleted", "Deleted", "Another"}
    for command in (("rules", "check"), ("rules", "list")):
        assert {each["title"] for each in run(*command, *named)} == titles
    explained = run("rules", "explain", *named, "event.json")
    assert {each["title"]: each.get("matches", each.get("counts")) for each in explained} == {
        "Many deleted": True,
        "Deleted": True,
        "Another": False,
    }
    assert {each["title"] for each in run("rules", "explain", ".", "event.json")} == titles
    stream = STREAM.replace(", {operation: fs_read_data, user: eve}", "")
    write(folder / "mine/tests/many.yml", stream)  # Another is named, and so alerts
    assert CliRunner().invoke(app, ["rules", "test", *named]).exit_code == 0
    for arguments in (
        ("rules", "check", "mine/many.yml"),
        ("rules", "list", "mine/many.yml"),
        ("rules", "test", "mine/many.yml"),
        ("rules", "explain", "mine/many.yml", "event.json"),
        ("match", "--rules", "mine/many.yml", "event.json"),
    ):
        problem = told(*arguments)
        assert problem.startswith("mine/many.yml:6: correlation.rules: 'deleted' is neither id nor")
        assert "name the file that has it, too, or let `rules` of northbound.yaml" in problem


def test_what_is_named_goes_before_the_deployment(folder: Path) -> None:
    """A rule of the named file is the base, not what the deployment has under its name or id."""
    write(folder / "mine/many.yml", MANY.replace("NAME", "deleted") + "---\n" + BASE)
    changed = BASE.replace("fs_delete", "fs_create_file").replace("name: deleted", "name: older")
    write(folder / "deployed/base.yml", changed)
    write(folder / "mine/fieldmap.yml", FIELDS)
    assert len(run("rules", "check", "mine")) == 3
    explained = run("rules", "explain", "mine", "event.json")
    assert [(each["title"], each.get("matches")) for each in explained] == [
        ("Many deleted", None),
        ("Another", False),
        ("Deleted", True),
    ]
    assert [each["title"] for each in run("rules", "check", "deployed")] == ["Another", "Deleted"]


CHAIN = """\
title: Many twice
correlation:
  type: event_count
  rules: [many]
  group-by: [user]
  aliases: {user: {many: who}}
  timespan: 1h
  condition: {gte: 2}
---
title: Deleted and never read
correlation:
  type: event_count
  rules: [deleted]
  group-by: [who]
  timespan: 1h
  condition: {gte: 1}
northbound: {absent: [another]}
"""


def test_bases_of_bases(folder: Path) -> None:
    """A correlation is a base, too, with its own; so is what must not follow, and a tenant's."""
    (folder / "mine/many.yml").rename(folder / "of-acme/many.yml")
    write(folder / "mine/chain.yml", CHAIN)
    assert [each["title"] for each in run("rules", "check", "mine")] == [
        "Many twice",
        "Deleted and never read",
    ]
    explained = {each["title"]: each for each in run("rules", "explain", "mine", "event.json")}
    assert explained["Many twice"]["rules"] == {"many": True}
    assert explained["Many twice"]["group"] == {"user": "eve"}
    assert {title for title, each in explained.items() if each["base"]} == {
        "Many deleted",
        "Deleted",
        "Another",
    }


FILTER = """\
title: Not those of {0}
logsource: {{product: qumulo}}
filter:
  rules: any
  sel: {{who: {0}}}
  condition: not sel
"""


def test_filters_of_bases(folder: Path) -> None:
    """A base is what it is in the deployment: without what a filter takes from it there. A tenant's
    filter is for its own rules, and none of the deployment's is for rules that are named."""
    write(folder / "deployed/filter.yml", FILTER.format("bob"))
    write(folder / "of-acme/filter.yml", FILTER.format("eve"))
    read = BASE.partition("---")[0].replace("Another", "Read").replace("another", "read")
    write(folder / "mine/read.yml", read)
    events = [
        {"operation": operation, "who": user, "time": number}
        for number, user in enumerate(["bob", "bob", "eve", "eve"])
        for operation in ("fs_delete", "fs_read_data")
    ]
    write(folder / "events.json", "\n".join(map(json.dumps, events)))
    hits = run("match", "--rules", "mine", "events.json")
    assert [each["group"] for each in hits if each["title"] == "Many deleted"] == [{"who": "eve"}]
    assert len([each for each in hits if each["title"] == "Read"]) == 4


def test_what_is_wrong_in_the_deployment(folder: Path) -> None:
    """Told where it is about a base, or where a base could be in it; nothing else of it matters."""
    write(folder / "deployed/broken.yml", "a: [1")
    (folder / "deployed/bytes.yml").write_bytes(b"\xff")
    run("rules", "check", "mine")
    write(folder / "mine/many.yml", MANY.replace("NAME", "delete"))
    problem = told("rules", "check", "mine")
    assert "mine/many.yml:6: correlation.rules: 'delete' is neither id nor name" in problem
    assert f"{folder}/deployed/broken.yml:2: is not YAML" in problem
    assert f"{folder}/deployed/bytes.yml:1: not UTF-8" in problem
    write(folder / "mine/many.yml", MANY.replace("NAME", "deleted"))
    write(folder / "deployed/base.yml", BASE.replace("operation: fs_delete", "op: fs_delete"))
    problem = told("rules", "check", "mine")
    assert f"{folder}/deployed/base.yml:11: detection.sel.op: field 'op' is not in the" in problem
    write(folder / "northbound.yaml", CONFIG.replace("tenants", "tenant"))
    problem = told("rules", "list", "mine")
    assert "northbound.yaml has mistakes, which `northbound check` tells" in problem
