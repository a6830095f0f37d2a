"""An alert as a response tells it once, under a key that stays the same. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

TRIGGERS: Final[Mapping[str, str]] = {
    "provisional": "first",
    "final": "final",
    "superseded": "superseded",
}
"""What a record of the alerts feed tells, by `unmapped.state` (topology/northbound/finding.py)."""
CREATE: Final = 1
"""`activity_id` of the first that is said of an alert."""


@dataclass(frozen=True, slots=True)
class Notification:
    """`key`: alert uid, response and trigger; equal whenever the same thing is told, and else not.

    `value`: the alert as JSON. `attributes`: every value of it by path (`finding_info.title`),
    objects and lists too, and `response.name`, `.key` and `.trigger`.
    """

    response: str
    trigger: str
    uid: str
    value: bytes
    attributes: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Letters, digits, `-`, `_` and dots."""
        return key_of(self.uid, self.response, self.trigger)

    @property
    def first(self) -> bool:
        """Whether nothing was said of this alert before."""
        return self.attributes.get("activity_id") == CREATE

    @property
    def rule(self) -> str:
        """Id of the rule."""
        return str(self.attributes.get("unmapped.rule.id", ""))

    @property
    def severity(self) -> int:
        """As OCSF counts it: 1 informational to 5 critical."""
        found = self.attributes.get("severity_id")
        return found if isinstance(found, int) else 0


def key_of(uid: str, response: str, trigger: str) -> str:
    """The idempotency key."""
    return f"{uid}.{response}.{trigger}"


def read(value: bytes, response: str) -> Notification:
    """A record of an alerts feed in ocsf-json. Raises ValueError for anything else."""
    members = orjson.loads(value)
    if not isinstance(members, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  # of a record, not of a caller
    attributes = dict(flat(members))
    uid, state = attributes.get("finding_info.uid"), attributes.get("unmapped.state")
    trigger = TRIGGERS.get(state) if isinstance(state, str) else None
    if not isinstance(uid, str) or not uid or trigger is None:
        raise ValueError("no alert: finding_info.uid or unmapped.state is missing")
    return made(value, attributes, response, trigger, uid)


def made(
    value: bytes, attributes: Mapping[str, Any], response: str, trigger: str, uid: str
) -> Notification:
    """One whose parts are known."""
    own = {"name": response, "key": key_of(uid, response, trigger), "trigger": trigger}
    named = {f"response.{name}": text for name, text in own.items()}
    return Notification(response, trigger, uid, value, {**attributes, **named})


def flat(members: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by path, objects before what is in them."""
    for name, value in members.items():
        at = f"{path}{name}"
        yield at, value
        if isinstance(value, dict):
            yield from flat(value, f"{at}.")
