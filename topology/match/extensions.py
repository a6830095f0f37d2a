"""What Northbound adds to Sigma's correlation rules, under `northbound:`, which other tools ignore.

northbound:
  suppress: 10m          # how long an alert mutes its group; the timespan without it
  absent: [backup_end]   # rules of which none may follow within the timespan
  lists: ...             # what its alerts do to active lists (topology/match/list_steps.py),
  alert: false           # and that nobody is told of them
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Any, Final

from sigma.correlations import SigmaCorrelationRule, SigmaCorrelationTimespan
from sigma.exceptions import SigmaError

from topology.match.documents import Document, Problem
from topology.match.members import NAME_IT, Members

SECTION: Final = "northbound"
"""Top-level key of a rule for what Sigma does not have; other Sigma tools ignore it."""
KEYS: Final = ("suppress", "absent", "first_seen", "since", "lists", "alert")
EACH_MATCH: Final = "goes with type: event_count and condition: {gte: 1}: each match is asked about"


class Extensions:
    """The section of one rule; what is wrong with it goes to `problems`."""

    def __init__(self, document: Document, problems: list[Problem]) -> None:
        self._document = document
        self._problems = problems
        given: Any = document.content.get(SECTION, {})
        if not isinstance(given, dict) or set(given) - set(KEYS):
            self._wrong(f"saw {given!r}, expected a mapping with the keys {', '.join(KEYS)}")
            given = {}
        self._given = given

    def suppress_ms(self, timespan_ms: int) -> int:
        """How long an alert mutes its group."""
        if "suppress" not in self._given:
            return timespan_ms
        try:
            return int(SigmaCorrelationTimespan(self._given["suppress"]).seconds) * 1000
        except SigmaError as error:
            self._wrong(str(error.args[0]), "suppress")
            return timespan_ms

    def absent(
        self, rule: SigmaCorrelationRule, members: Members, listed: Sequence[int]
    ) -> list[int]:
        """Indexes of the event rules of which no match may follow those that are `listed`."""
        if "absent" not in self._given:
            return []
        names = self._given["absent"]
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            self._wrong(f"saw {names!r}, expected a list of rules, such as [backup_end]", "absent")
            return []
        self._each_match(rule, "absent")
        found: list[int] = []
        for name in names:
            index = members.index(name)
            if index is None:
                text = f"{name!r} is neither id nor name of an event rule that is loaded"
                self._wrong(f"{text}; {NAME_IT}", "absent")
            elif index in listed:
                self._wrong(f"{name!r} is among the correlation's rules, too", "absent")
            elif index not in found:
                found.append(index)
        return found

    def first_seen(self, rule: SigmaCorrelationRule) -> tuple[bool, int | None]:
        """Whether a match alerts if its group had none before, and from when on (ms)."""
        asked = self._given.get("first_seen", False)
        if not isinstance(asked, bool):
            self._wrong(f"saw {asked!r}, expected true", "first_seen")
        if not asked:
            if "since" in self._given:
                self._wrong("goes with first_seen: true", "since")
            return False, None
        self._each_match(rule, "first_seen")
        for key, why in (
            ("absent", "asks about what follows, not about what was before"),
            ("suppress", "is not needed: a group alerts once in a timespan"),
        ):
            if key in self._given:
                self._wrong(f"{why}; leave it out beside first_seen", key)
        return True, self._since()

    def _since(self) -> int | None:
        given = self._given.get("since")
        if given is None:
            return None
        try:
            moment = datetime.fromisoformat(given) if isinstance(given, str) else given
            if not isinstance(moment, datetime):
                moment = datetime.combine(moment, time())
        except (ValueError, TypeError):
            text = f"saw {given!r}, expected a date or time, such as 2026-12-24T08:00:00Z"
            self._wrong(text, "since")
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)

    def _each_match(self, rule: SigmaCorrelationRule, key: str) -> None:
        compared = self._document.content["correlation"].get("condition")
        if rule.type.name != "EVENT_COUNT" or compared != {"gte": 1}:
            self._wrong(EACH_MATCH, key)

    def _wrong(self, text: str, *keys: str) -> None:
        self._problems.append(self._document.problem(text, SECTION, *keys))
