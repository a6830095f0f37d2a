"""What the stages know of rules once they are compiled: plain, picklable data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.levels import Level
from topology.lists import ActiveList, Step

Hits: TypeAlias = dict[int, npt.NDArray[np.int64]]
"""Rule index (position in `Rules.events`) → sorted row positions; no entry without a hit."""

Operator: TypeAlias = Literal["gte", "gt", "lte", "lt", "eq", "neq"]
Bound: TypeAlias = tuple[Operator, int | float]
NUMERIC_TYPES = ("value_sum", "value_avg", "value_percentile", "value_median")
"""Correlation types that read numbers."""
CORRELATION_TYPES = ("event_count", "value_count", "temporal", "temporal_ordered", *NUMERIC_TYPES)
"""The types that topology/correlate evaluates; a test holds the two together."""
STEPS = "\n"
"""Stands between the ids of the rules that an event matched, for the temporal types."""
NUMBER = r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?"
"""A text that numeric correlation types take; the bounds keep exact arithmetic cheap."""
is_number = re.compile(NUMBER).fullmatch
Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class LogSource:
    """Where events come from, or which events a rule is for; None means any."""

    product: str | None = None
    service: str | None = None
    category: str | None = None

    @property
    def named(self) -> int:
        """How many of the three it names."""
        return 3 - (self.product, self.service, self.category).count(None)

    def covers(self, events: "LogSource") -> bool:
        """Whether a rule for this log source meets events of that one."""
        return (
            self.product in (None, events.product)
            and self.service in (None, events.service)
            and self.category in (None, events.category)
        )

    def __str__(self) -> str:
        parts = (("product", self.product), ("service", self.service), ("category", self.category))
        return ",".join(f"{name}={value}" for name, value in parts if value is not None)


@dataclass(frozen=True, slots=True)
class Rule:
    """What an alert says about its rule. `id` is the Sigma id, or the rule's name without one.

    `tenant`: the only one that it serves; None: all.
    """

    id: str
    title: str
    level: Level
    name: str | None = None
    status: str | None = None
    author: str | None = None
    license: str | None = None
    description: str | None = None
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    path: str = ""
    line: int = 1
    tenant: str | None = None

    def serves(self, tenant: str) -> bool:
        """Whether it looks at a tenant's events."""
        return self.tenant in (None, tenant)


Fields: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Names of fields, each with the columns of events of which the first with a value counts."""


@dataclass(frozen=True, slots=True)
class EventRule:
    """A rule over single events. `columns`: what it reads; `alerts`: False for bare base rules;
    `shown`: what its `fields` has alerts show of the event, besides what all show."""

    rule: Rule
    logsource: LogSource
    columns: tuple[str, ...]
    alerts: bool = True
    shown: Fields = ()


class Alternative(NamedTuple):
    """One way in which an extended condition comes true: ids of the rules that have to match, in
    the order in which they are listed, and of those that must not."""

    steps: tuple[str, ...]
    without: tuple[str, ...]


class Chained(NamedTuple):
    """Alerts of another correlation that count as matches. `group` and `values`: for each group-by
    field, and field of the condition, its place in that one's group-by."""

    rule: str
    group: tuple[int, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation rule (Sigma correlation rules specification 2.1.0) over event rules.

    `members` are indexes into `Rules.events`. `group_columns` and `value_columns` have one entry
    for each member: for each group-by field, and field of the condition, its event columns, of
    which the first with a value counts. `steps`: for the temporal types, ids of the listed rules.
    `also`: further comparisons that have to hold, for a range. `absent`: ids of the members of
    which no match may follow within the timespan; then `steps` has the ids of all members.
    `chained`: other correlations whose alerts are matches; `alerts`: False for those that only
    others count. `alternatives`: of an extended condition, which is `expression`; one has to hold.
    `first_seen`: a match alerts if its group had none in `(t - timespan, t)`, from the time `since`
    on (ms).
    `counted`: names of the fields whose values it counts. `shown`: what else its alerts show of
    their first events: its own `fields`, and its members'.
    Windows are `(t - timespan, t]`; an alert mutes its group for `suppress_ms`, takes what comes
    meanwhile, and what it took counts for no other alert.
    """

    rule: Rule
    type: str
    members: tuple[int, ...]
    group_by: tuple[str, ...]
    group_columns: tuple[tuple[tuple[str, ...], ...], ...]
    value_columns: tuple[tuple[tuple[str, ...], ...], ...]
    timespan_ms: int
    suppress_ms: int
    operator: Operator
    count: int | float
    steps: tuple[str, ...] = ()
    percentile: int | None = None
    also: tuple[Bound, ...] = ()
    absent: tuple[str, ...] = ()
    first_seen: bool = False
    since: int | None = None
    chained: tuple[Chained, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    expression: str = ""
    alerts: bool = True
    counted: tuple[str, ...] = ()
    shown: Fields = ()

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.type in NUMERIC_TYPES

    @property
    def rising(self) -> bool:
        """Whether the condition is judged at each match, and not when a window closes."""
        if self.operator not in ("gte", "gt") or self.also or self.absent:
            return False
        return not any(each.without for each in self.alternatives) if self.alternatives else True

    @property
    def patient(self) -> bool:
        """Whether matches of which nothing is said change nothing about when a group is due."""
        return self.rising and not self.first_seen

    @property
    def condition(self) -> str:
        """What has to hold, in words."""
        if self.first_seen or self.expression:
            return self.expression or "first seen"
        bounds = ((self.operator, self.count), *self.also)
        parts = [f"{operator} {count}" for operator, count in bounds]
        return " and ".join([*parts, *(f"then no {rule}" for rule in self.absent)])


@dataclass(frozen=True, slots=True)
class Rules:
    """A compiled set of rules without their conditions. A correlation comes after those whose
    alerts it counts. `steps`: by a rule's id what its matches, or a correlation's alerts, do to
    lists and ask of them, tests first."""

    events: tuple[EventRule, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    lists: tuple[ActiveList, ...] = ()
    steps: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Counts of events in tumbling windows aligned to the epoch, with one alert at a count.

    An event counts if every column of `select` has its value (one of them, for a tuple). Groups
    are the values of the columns `by`. A window takes events until its end plus `grace_ms`.
    """

    name: str
    select: Mapping[str, Scalar | tuple[Scalar, ...]]
    by: tuple[str, ...]
    window_ms: int
    grace_ms: int
    at: int
    title: str
    level: Level = "medium"


class Records(NamedTuple):
    """Records for the `matches` topic, with what happened to the matches on the way.

    Columns are of Binary. `batches`: PartialBatches, each with the partition it is for.
    """

    keys: list[bytes] | pl.Series
    values: list[bytes] | pl.Series
    counts: dict[str, int]
    batches: Sequence[tuple[int, bytes]] = ()


LINKED = 1_000
"""Events that an alert names by uid; the rest is counted."""
SHOWN = 10
"""Events of which a correlation's alert shows fields: the first ones."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert in one state. Times are event times in ms; nothing in it depends on a clock.

    `uids` are the first events in their order; `count` says how many there are in all.
    `sudden`: nothing can have been said of it before, though it is a correlation's.
    `values` is the number of distinct values where the rule counts those, `condition` what had to
    hold in `window_ms`, `suppress_ms` how long a correlation's alert collects. `superseded_by`
    names the final alert that stands instead of a provisional one. `priority` is the greatest of
    the assets behind the events of a correlation; that of one event is in its evidence.
    Of a correlation's first SHOWN events, `counted` are the fields that it counts, by name, and
    `shown` what its rules have it show besides; nothing where there is nothing of the kind.
    """

    uid: str
    tenant: str
    rule: Rule
    kind: str
    state: Literal["provisional", "final", "superseded"]
    time: int
    start: int
    end: int
    count: int
    group: tuple[tuple[str, str], ...] = ()
    uids: tuple[str, ...] = ()
    values: int | None = None
    evidence: tuple[Mapping[str, str], ...] = ()
    superseded_by: str | None = None
    condition: str | None = None
    window_ms: int | None = None
    suppress_ms: int | None = None
    sources: tuple[str, ...] = ()
    sudden: bool = False
    priority: Level | None = None
    counted: tuple[Mapping[str, str], ...] = ()
    shown: tuple[Mapping[str, str], ...] = ()
