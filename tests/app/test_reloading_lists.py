"""Rules, lists and tenants that change while workers run: what is taken up in which order, and what
waits for a restart, which is shown."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from app.changes_metric import ChangesCollector
from app.cli import app
from app.commands.status import _processes
from app.config import load
from app.plan_reloading import SETTLE_S, ReloadingPlan
from app.planning import build_plan
from app.status import write_status
from topology.pipeline import alerts

if TYPE_CHECKING:
    from topology.plan import Plan

CONFIG = """\
version: 1
kafka: {external: {bootstrap: '127.0.0.1:1'}}
sources: {q: {format: qumulo}}
rules: [rules]
tenants: {acme: {sources: [q]}}
"""
ONE = "lists:\n  known: {key: [user]}\n"
TWO = f"{ONE}  blocked: {{key: [user], ttl: 1h}}\n"
RULE = """\
title: Puts a user on LIST
id: 4a9f1a3e-0000-4000-8000-00000000000NUMBER
logsource: {product: qumulo}
detection: {sel: {operation: fs_delete}, condition: sel}
northbound:
  lists: [{add: LIST, key: [user]}]
"""
PLAIN = """\
title: Needs no list
id: 4a9f1a3e-0000-4000-8000-000000000003
logsource: {product: qumulo}
detection: {sel: {operation: fs_delete}, condition: sel}
"""


class Worker:
    """The rules of a worker, and what its sub-topologies go on with."""

    def __init__(self, folder: Path, lists: str) -> None:
        self.folder = folder
        (folder / "rules").mkdir()
        self.write("northbound.yaml", CONFIG + lists)
        config = load(folder / "northbound.yaml")
        self.plan = build_plan(config, {})
        self.replaced: list[tuple[str, Plan]] = []
        self.reloading = ReloadingPlan(
            config, self.plan, lambda name, plan: self.replaced.append((name, plan))
        )
        self.rules = self.reloading.rules
        self._now = 100.0

    def write(self, name: str, text: str) -> None:
        """Another file in the place of the one that was there, as editors do it."""
        fresh = self.folder / "fresh"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.folder / name)

    def look(self, seconds: float = 4.0) -> Any:
        """What two looks find; a file is taken up once it stays the same."""
        self._now += seconds
        first = self.reloading.look(self._now)
        return self.reloading.look(self._now + 0.1) or first


@pytest.fixture
def one(tmp_path: Path) -> Worker:
    """A worker with one list."""
    return Worker(tmp_path, ONE)


def test_one_more_list_needs_no_restart(one: Worker) -> None:
    """The rule that comes with it is used, by alerts first; the stores stay the same."""
    one.write("northbound.yaml", CONFIG + TWO)
    one.write("rules/a.yml", RULE.replace("LIST", "blocked").replace("NUMBER", "1"))
    found = one.look()
    assert (found["added"], found["lists"]) == (["Puts a user on blocked"], ["blocked"])
    [(name, plan)] = one.replaced
    assert name == "alerts"
    assert [each.name for each in plan.rules.rules.lists] == ["known", "blocked"]
    assert alerts(plan).stores == alerts(one.plan).stores
    one.look(SETTLE_S)
    assert [name for name, _ in one.replaced] == ["alerts", "events"]
    assert (one.rules.problems, one.rules.lists) == ([], ["known", "blocked"])


def test_a_list_alone_is_a_change(one: Worker) -> None:
    """Edits of it come before the first rule does; they have to find it."""
    one.write("northbound.yaml", CONFIG + TWO)
    assert one.look()["lists"] == ["blocked"]
    assert [name for name, _ in one.replaced] == ["alerts"]


def test_taking_over_anew_is_done_with_the_rules_of_now(one: Worker) -> None:
    """Not with those that the worker began with."""
    one.reloading.again()
    one.write("northbound.yaml", CONFIG + TWO)
    one.look()
    one.reloading.again()
    assert [name for name, _ in one.replaced] == ["alerts"] * 3
    first, second, third = (plan for _, plan in one.replaced)
    assert first is one.plan
    assert second is third is not first


def test_the_first_list_waits_for_a_restart(tmp_path: Path) -> None:
    """It needs a store that workers have from their start on: what to do is said, the rules before
    stay, and when the list goes again there is nothing to say."""
    worker = Worker(tmp_path, "")
    worker.write("northbound.yaml", CONFIG + ONE)
    assert worker.look() is None
    (problem,) = worker.rules.problems
    assert problem.startswith(f"{tmp_path}/northbound.yaml: lists: known: the first; ")
    assert "Start them anew" in problem
    worker.write("rules/a.yml", RULE.replace("LIST", "known").replace("NUMBER", "1"))
    assert worker.look() is None
    assert worker.rules.problems[0] == problem
    assert "rules/a.yml:6: " in worker.rules.problems[1]
    assert worker.replaced == []
    worker.write("rules/a.yml", PLAIN)
    assert worker.look()["added"] == ["Needs no list"]
    assert worker.rules.problems == [problem]
    worker.write("northbound.yaml", CONFIG)
    assert worker.look() is None
    assert worker.rules.problems == []


def test_lists_that_change_or_go_wait_for_a_restart(tmp_path: Path) -> None:
    """Whoever saves half a file does not lose what lists remember; the rules go on changing."""
    worker = Worker(tmp_path, TWO)
    worker.write("northbound.yaml", CONFIG + "lists:\n  known: {key: [user], ttl: 5m}\n")
    worker.write("rules/a.yml", RULE.replace("LIST", "blocked").replace("NUMBER", "1"))
    assert worker.look()["added"] == ["Puts a user on blocked"]
    (problem,) = worker.rules.problems
    assert "lists: known, blocked: changed; " in problem
    assert worker.rules.lists == ["known", "blocked"]
    assert worker.replaced[0][1].rules.rules.lists == worker.plan.rules.rules.lists


def test_rules_do_not_wait_for_the_rest_of_the_file(one: Worker) -> None:
    """A mistake in northbound.yaml is the business of those who read all of it; what changes there
    beside lists exchanges nothing."""
    one.write("northbound.yaml", CONFIG + ONE + "workers: {count: 3}\n")
    assert one.look() is None
    one.write("northbound.yaml", CONFIG + TWO + "worker: {}\n")
    one.write("rules/a.yml", PLAIN)
    found = one.look()
    assert found["added"] == ["Needs no list"]
    assert "lists" not in found
    assert one.rules.problems == []
    one.write("northbound.yaml", CONFIG + TWO)
    assert one.look()["lists"] == ["blocked"]


def test_it_is_shown_where_people_look(tmp_path: Path) -> None:
    """In `northbound status`, in /metrics, and by the command that would edit such a list."""
    worker = {"ready": True, "engines": [], "lists": ["known"], "not_in_use": ["x: the first"]}
    write_status(tmp_path / "state", "worker-0", worker)
    (tmp_path / "northbound.yaml").write_text(CONFIG + TWO, encoding="utf-8")
    (row,) = _processes({"worker-0": {"pid": 1, **worker}})
    assert "not in use: x: the first" in row["what"]
    assert json.dumps(row["details"]["not_in_use"]) == '["x: the first"]'
    (family,) = ChangesCollector(lambda: worker["not_in_use"]).collect()  # type: ignore[arg-type]
    assert [each.value for each in family.samples] == [1]
    edit = ["lists", "add", "blocked", "eve", "--config", str(tmp_path / "northbound.yaml")]
    (tmp_path / "rules").mkdir()
    done = CliRunner().invoke(app, edit)
    assert done.exit_code == 1
    assert "worker-0 does not use the list blocked yet, and would drop the edit" in done.stderr


def test_tenants_that_change_do_not_hurry_new_rules(one: Worker) -> None:
    """`events` knows at once what is different of tenants; matches of a new rule still wait until
    every worker knows the rule, and what is for a new tenant waits likewise."""
    one.write("rules/a.yml", PLAIN)
    assert one.look()["added"] == ["Needs no list"]
    acme, zeta = "acme: {sources: [q], format: cef}", "acme: {sources: [q]}, zeta: {sources: [q]}"
    for tenants in (acme, zeta):
        one.replaced.clear()
        one.write("northbound.yaml", CONFIG.replace("acme: {sources: [q]}", tenants) + ONE)
        one.look()
        [(first, plan), (second, told)] = one.replaced
        assert (first, second) == ("alerts", "events")
        assert len(plan.rules.rules.events) == 1
        assert told.rules is one.plan.rules
        assert told.tenants == {"acme": plan.tenants["acme"]}
    assert set(plan.tenants) == {"acme", "zeta"}
    one.look(SETTLE_S)
    assert one.replaced[2:] == [("events", plan)]
