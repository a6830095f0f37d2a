"""Filters of a source or tenant: events kept or dropped by conditions in Sigma's syntax.

A filter names what it is about in a Sigma `detection` section over event attributes. An event that
one filter drops is dropped; it is counted by the first that does.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import yaml

from topology.match.documents import RuleErrors
from topology.match.ruleset import RuleSet
from topology.rules import Rules


@dataclass(frozen=True, slots=True)
class Filter:
    """`detection`: what Sigma's section of that name holds. `keep`: drop what does not match it."""

    name: str
    keep: bool
    detection: Mapping[str, Any]


class FilterProblem(NamedTuple):
    """What is wrong with which filter; `key` is a path within its detection, or empty."""

    number: int
    key: str
    text: str


class FilterErrors(ValueError):  # noqa: N818  # it is several
    """Everything that is wrong with the filters of a source."""

    def __init__(self, problems: Sequence[FilterProblem]) -> None:
        super().__init__("; ".join(f"{problem.key}: {problem.text}" for problem in problems))
        self.problems = problems


class Filters:
    """The filters of one source or tenant, compiled together: each condition that they share is
    tested once."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        """Raises FilterErrors."""
        self._filters = tuple(filters)
        self._rules = _compile(filters)
        self.form = yaml.safe_dump([[each.name, each.keep, each.detection] for each in filters])
        """Equal for filters that do the same."""

    def __bool__(self) -> bool:
        return bool(self._filters)

    def apply(self, events: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
        """The events that are kept, and how many each filter dropped, by its name."""
        hits = self._rules.match(events, None, "filter")
        dropped = np.zeros(events.height, dtype=np.bool_)
        counts: Counter[str] = Counter()
        for number, entry in enumerate(self._filters):
            chosen = self._chosen(hits.get(number), events.height, keep=entry.keep) & ~dropped
            if count := int(chosen.sum()):
                counts[entry.name] += count
                dropped |= chosen
        return (events.filter(~dropped) if counts else events), counts

    @property
    def columns(self) -> list[str]:
        """Attributes that the conditions ask for."""
        return sorted(self._rules.columns(None))

    def holding(self, events: pl.DataFrame) -> list[npt.NDArray[np.bool_]]:
        """For each filter the rows that its detection matches, whatever it does with them."""
        hits = self._rules.match(events, None, "filter")
        count = len(self._filters)
        return [
            self._chosen(hits.get(number), events.height, keep=False) for number in range(count)
        ]

    @staticmethod
    def _chosen(
        rows: npt.NDArray[np.int64] | None, height: int, *, keep: bool
    ) -> npt.NDArray[np.bool_]:
        chosen = np.full(height, keep)
        if rows is not None:
            chosen[rows] = not keep
        return chosen


def _compile(filters: Sequence[Filter]) -> RuleSet:
    if not filters:
        return RuleSet(Rules(), (), ())
    # pySigma is a large part of a start, and most sources and tenants have no filters.
    from topology.match.compile import compile_rules  # noqa: PLC0415

    problems = list(_unnamed(filters))
    wrong = {each.number for each in problems}
    texts = [(str(n), _rule(n, entry)) for n, entry in enumerate(filters) if n not in wrong]
    rules = RuleSet(Rules(), (), ())
    try:
        rules = compile_rules(texts)
    except RuleErrors as error:
        problems += [
            FilterProblem(int(each.path), each.key.removeprefix("detection").lstrip("."), each.text)
            for each in error.found
        ]
    if problems:
        raise FilterErrors(sorted(problems, key=lambda each: each.number))
    if rules.warnings:
        parts = [warning.split(":", 3) for warning in rules.warnings]
        raise FilterErrors([FilterProblem(int(each[0]), "", each[-1].strip()) for each in parts])
    return rules


def _unnamed(filters: Sequence[Filter]) -> Iterator[FilterProblem]:
    """Attributes that stand where a name does. Sigma would take `severity: high` for a search named
    severity, for `high` in any attribute."""
    for number, entry in enumerate(filters):
        for name, value in entry.detection.items():
            if name != "condition" and not isinstance(value, dict | list):
                text = (
                    f"saw {value!r}, expected attributes under a name, such as selection: "
                    f"{{{name}: {value}}}"
                )
                yield FilterProblem(number, str(name), text)


def _rule(number: int, entry: Filter) -> str:
    """The filter as a Sigma rule. With one thing named, a condition need not be."""
    detection = dict(entry.detection)
    if "condition" not in detection and len(detection) == 1:
        detection["condition"] = next(iter(detection))
    rule = {
        "title": entry.name,
        "name": f"filter {number}",
        "logsource": {"category": "filter"},
        "detection": detection,
    }
    return yaml.safe_dump(rule, sort_keys=False, allow_unicode=True)


NO_FILTERS = Filters(())
