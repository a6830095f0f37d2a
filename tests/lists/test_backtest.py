"""`northbound backtest` with lists that are given as files; without Kafka."""

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from typer.testing import CliRunner

from app.backtesting import Backtest
from app.cli import app
from app.list_edits import Edit
from tests.topology.deployment import SOURCE, START, line
from topology.lists import ActiveList
from topology.match.compile import compile_rules
from topology.plan import Plan, TenantPlan
from topology.topics import Names

RULES = """\
title: asks
name: asks
logsource: {product: qumulo}
detection: {sel: {metadata.event_code: fs_delete}, condition: sel}
northbound:
  lists: [{in: leavers, key: [actor.user.name]}]
"""
LISTS = {"leavers": ActiveList("leavers", ("user",))}
CONFIG = """\
version: 1
kafka: {external: {bootstrap: '127.0.0.1:1'}}
sources: {q: {format: qumulo}}
lists: {leavers: {key: [user]}}
tenants: {acme: {sources: [q]}}
"""


def alerts(lists=None):
    """Users that the rule alerts of, of two that delete a file."""
    plan = Plan(
        names=Names(),
        sources={"q": SOURCE},
        tenants={"acme": TenantPlan("acme", frozenset({"q"}))},
        origins={"raw.q": "AAAAAAAAAAA"},
        rules=compile_rules([("r.yml", RULES)], lists=LISTS),
        matches_partitions=1,
    )
    run = Backtest(plan, {("raw.q", 0): 0}, lists)
    messages = [
        Message(
            topic="raw.q",
            partition=0,
            offset=number,
            value=line(START, user, "fs_delete", "/x"),
            timestamp=(TIMESTAMP_CREATE_TIME, START),
        )
        for number, user in enumerate(("eve", "bob"))
    ]
    found = [*run.take(messages), *run.finish()]
    return [each["evidences"][0]["data"] for each in found]


def test_a_list_has_what_a_file_says():
    """From the start, and the alert says from which; without a file the list is empty."""
    assert alerts() == []
    (told,) = alerts({"leavers": ("leavers.csv", [Edit(("eve",), {"why": "left"})])})
    assert (told["user"], told["list"]) == ("eve", "leavers")
    assert (told["listed_by"], told["listed_why"]) == ("leavers.csv", "left")


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        (["leavers"], 2, "--list: saw 'leavers', expected NAME=FILE, once for each list"),
        (["leavers=a.csv", "leavers=a.csv"], 2, "expected NAME=FILE, once for each list"),
        (["other=a.csv"], 2, "saw 'other', expected a list of northbound.yaml: leavers"),
        (["leavers=b.csv"], 1, "b.csv:1: no column user"),
        (["leavers=c.csv"], 1, "c.csv: cannot be read as CSV"),
        (["leavers=d.csv"], 2, "has more than 4096 bytes"),
    ],
)
def test_what_is_given_wrongly(tmp_path, monkeypatch, given, status, told):
    """Said at once, without Kafka."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "northbound.yaml").write_text(CONFIG)
    (tmp_path / "a.csv").write_text("user\neve\n")
    (tmp_path / "b.csv").write_text("name\neve\n")
    (tmp_path / "d.csv").write_text(f"user\n{'e' * 4_097}\n")
    options = [part for each in given for part in ("--list", each)]
    result = CliRunner().invoke(app, ["backtest", "--from", "1h", *options])
    assert (result.exit_code, told in " ".join(result.stderr.split())) == (status, True), (
        result.stderr
    )
