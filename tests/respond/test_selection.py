"""Which alerts a response is for."""

from typing import Any

import pytest

from app.respond.notification import Notification, read
from app.respond.selection import Selection
from tests.respond.findings import RULE, alert, event_finding
from topology.filters import Filter, Filters

FIRST = {"when": ["first"]}


def where(detection: dict[str, Any]) -> Filters:
    return Filters([Filter("where", True, detection)])


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (FIRST, ["provisional", "event"]),
        ({"when": ["final"]}, ["final", "event"]),
        ({"when": ["superseded"]}, ["superseded"]),
        ({"when": ["first", "final"]}, ["provisional", "final", "event"]),
    ],
)
def test_states(chosen: dict[str, Any], expected: list[str]) -> None:
    """An alert of a single event is first and final at once, and told once."""
    alerts = {state: alert(0, state) for state in ("provisional", "final", "superseded")}
    alerts["event"] = read(event_finding(), "page")
    assert [name for name, each in alerts.items() if Selection(**chosen)(each)] == expected


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"rules": {"5f3c"}}, True),
        ({"rules": {"mass_delete"}}, True),
        ({"rules": {"5f3"}}, False),
        ({"tags": {"attack.t1485"}}, True),
        ({"tags": {"attack.impact", "x"}}, True),
        ({"tags": {"attack.t148"}}, False),
        ({"severity": 4}, True),
        ({"severity": 5}, False),
        ({"where": where({"a": {"count|gte": 100}})}, True),
        ({"where": where({"a": {"count|gt": 100}})}, False),
        ({"where": where({"a": {"unmapped.group.actor.user.name|endswith": 'EVE"'}})}, True),
        ({"where": where({"a": {"unmapped.rule.tags|contains": "t1485"}})}, True),
        ({"where": where({"words": ["uid-0"]})}, True),
        ({"where": where({"words": ["no such"]})}, False),
        ({"where": where({"a": {"no.such": 1}, "condition": "not a"})}, True),
        ({"where": where({"a": {"count": 100}}), "rules": {"x"}}, False),
    ],
)
def test_all_of_it(chosen: dict[str, Any], expected: bool) -> None:
    """An alert has to meet everything that is said."""
    assert Selection(**FIRST, **chosen)(alert()) is expected


def test_an_alert_that_says_little() -> None:
    """Without rule, tags and severity it is not chosen by them, and breaks nothing."""
    bare = Notification("page", "first", "u", b"{}", {"activity_id": 1, "unmapped.rule.tags": 3})
    assert Selection(when=["first"], severity=0)(bare)
    assert not Selection(when=["first"], severity=0, tags={RULE.tags[0]})(bare)
    assert not Selection(when=["first"], severity=0, rules={RULE.id})(bare)
    assert not Selection(when=["first"])(bare)
