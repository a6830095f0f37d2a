"""Alerts as the workers write them, for tests of responses."""

from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from app.respond.notification import Notification, read
from topology.northbound.finding import encode
from topology.rules import Alert, Rule

NOON = 1_764_244_800_000
RULE = Rule(
    "5f3c",
    "Mass delete by one user",
    "high",
    "mass_delete",
    author="Someone",
    tags=("attack.impact", "attack.t1485.001"),
)


def finding(number: int = 0, state: str = "provisional", rule: Rule = RULE, **more: Any) -> bytes:
    """An alert of a correlation whose uid says its number."""
    given: dict[str, Any] = {
        "uid": f"uid-{number}",
        "tenant": "acme",
        "rule": rule,
        "kind": "event_count",
        "state": state,
        "time": NOON + number,
        "start": NOON + number - 60_000,
        "end": NOON + number,
        "count": 100,
        "group": (("actor.user.name", 'AD\\"eve"'),),
        "uids": ("a", "b"),
        "suppress_ms": 60_000,
        "sources": ("qumulo",),
    }
    return encode(Alert(**{**given, **more}), "0")


def event_finding(number: int = 0, rule: Rule = RULE) -> bytes:
    """An alert of a rule on single events: final, and the first that is heard of it."""
    return finding(number, "final", rule, kind="event", suppress_ms=None, group=(), count=1)


def alert(number: int = 0, state: str = "provisional", rule: Rule = RULE) -> Notification:
    """As the response `page` reads it."""
    return read(finding(number, state, rule), "page")


def message(value: bytes, offset: int = 0) -> Message:
    """A record of the alerts feed."""
    stamp = (TIMESTAMP_CREATE_TIME, NOON)
    return Message(
        topic="northbound.acme.alerts", partition=0, offset=offset, value=value, timestamp=stamp
    )
