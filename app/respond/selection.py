"""Which alerts a response is for. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from app.respond.notification import Notification
from app.respond.texts import shown
from topology.filters import NO_FILTERS, Filters
from topology.match.columns import KEYWORDS

SEVERITIES: Final = ("informational", "low", "medium", "high", "critical")
"""OCSF counts them from 1."""


@dataclass(frozen=True, slots=True)
class Selection:
    """An alert is for the response if it meets all; None: any. `where`: one filter that keeps."""

    when: Collection[str]
    rules: Collection[str] | None = None
    tags: Collection[str] | None = None
    severity: int = 1
    where: Filters = NO_FILTERS

    def __call__(self, alert: Notification) -> bool:
        """Whether it is."""
        return (
            (alert.trigger in self.when or ("first" in self.when and alert.first))
            and alert.severity >= self.severity
            and self._rule(alert)
            and self._tag(alert)
            and (
                not self.where or bool(self.where.holding(_frame(alert, self.where.columns))[0][0])
            )
        )

    def _rule(self, alert: Notification) -> bool:
        if self.rules is None:
            return True
        found = (alert.rule, alert.attributes.get("unmapped.rule.name"))
        return any(each in self.rules for each in found)

    def _tag(self, alert: Notification) -> bool:
        """`attack.t1110` is `attack.t1110.001`, too."""
        if self.tags is None:
            return True
        tags = alert.attributes.get("unmapped.rule.tags")
        found = [str(each).lower() for each in tags] if isinstance(tags, list) else []
        return any(tag == each or tag.startswith(f"{each}.") for each in self.tags for tag in found)


def _frame(alert: Notification, columns: Sequence[str]) -> pl.DataFrame:
    """One row with what is asked for, as rules read events; lists are texts."""
    wanted = alert.attributes if KEYWORDS in columns else columns
    found = {name: alert.attributes.get(name) for name in wanted}
    return pl.DataFrame(
        {
            name: [_value(name, value)]
            for name, value in found.items()
            if value is not None and not isinstance(value, dict)
        }
        or {"time": [0]}
    )


def _value(name: str, value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else shown(name, value)
