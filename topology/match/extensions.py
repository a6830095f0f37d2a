"""What Northbound adds to Sigma's correlation rules, under `northbound:`, which other tools ignore.

northbound:
  suppress: 10m          # how long an alert mutes its group; the timespan without it
  absent: [backup_end]   # rules of which none may follow within the timespan
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from sigma.correlations import SigmaCorrelationRule, SigmaCorrelationTimespan
from sigma.exceptions import SigmaError

from topology.match.documents import Document, Problem

SECTION: Final = "northbound"
KEYS: Final = ("suppress", "absent")


class Members(Protocol):
    """The event rules that correlations refer to."""

    def index(self, reference: str) -> int | None:
        """Index of the event rule with this id or name."""


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
        condition = rule.condition
        asked = (rule.type.name, condition.op.name, condition.count)
        if asked != ("EVENT_COUNT", "GTE", 1) or len(self._comparisons()) > 1:
            text = "goes with type: event_count and condition: {gte: 1}: each match is asked about"
            self._wrong(text, "absent")
        found: list[int] = []
        for name in names:
            index = members.index(name)
            if index is None:
                text = f"{name!r} is neither id nor name of an event rule that is loaded"
                self._wrong(text, "absent")
            elif index in listed:
                self._wrong(f"{name!r} is among the correlation's rules, too", "absent")
            elif index not in found:
                found.append(index)
        return found

    def _comparisons(self) -> dict[str, Any]:
        condition = self._document.content["correlation"].get("condition")
        return condition if isinstance(condition, dict) else {}

    def _wrong(self, text: str, *keys: str) -> None:
        self._problems.append(self._document.problem(text, SECTION, *keys))
