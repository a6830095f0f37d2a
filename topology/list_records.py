"""Matches of rules with steps on active lists become records of `matches`, keyed by list and key.

What is to be done is a JSON object, the value of a match in a Partial:

- `a`: in, not_in, remove or add; `r`: the rule, or who else; `t`: of `add`, how long in ms;
  `v`: of `add`, the values that are kept, by name; `n`: the tenant, where the list is shared
- of a test, what happens to the event where it is passed: `s`: the number of this step; `o`: the
  source; `e`: the event's key fields; `k`: keys of later steps by number, each by place; `w`: their
  values; `c`: what correlations over the rule count, by id: `g`: group, `v`: values, each by
  place, `m`: the match's mark (topology/correlate/marks.py)
- of a test of a correlation's alert, besides: `g`: its group by place, `f`: the alert
  (topology/list_alerts.py)
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import packed
from topology.asset_priority import PRIORITY
from topology.correlate import partial_columns
from topology.correlate.marks import marks
from topology.correlate.partials import LARGEST, key_fields
from topology.lists import LIST, SHARED, Step, before, tests
from topology.rules import Correlation, Fields, Hits, Records, Rule, Rules
from topology.texts import as_text

Rows = npt.NDArray[np.int64]


class Listing:
    """The rules on single events that have steps. `hits` without them costs nothing."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._steps = {
            index: rules.steps[entry.rule.id]
            for index, entry in enumerate(rules.events)
            if entry.rule.id in rules.steps
        }
        self.members = frozenset(self._steps)
        self.tested = frozenset(index for index, steps in self._steps.items() if tests(steps))
        """Rules whose hits are matches only where their tests are passed."""
        self._over: dict[int, list[tuple[Correlation, int]]] = {}
        for correlation in rules.correlations:
            for place, member in enumerate(correlation.members):
                self._over.setdefault(member, []).append((correlation, place))

    @property
    def columns(self) -> list[str]:
        """The event columns that keys and values are read from."""
        return [
            column
            for steps in self._steps.values()
            for step in steps
            for names in (*step.key, *(columns for _, columns in step.values))
            for column in names
        ]

    def direct(self, hits: Hits) -> Hits:
        """The hits that are matches as they are."""
        if not self.tested:
            return hits
        return {index: rows for index, rows in hits.items() if index not in self.tested}

    def records(
        self,
        events: pl.DataFrame,
        hits: Hits,
        *,
        tenants: Sequence[str],
        source: str,
        watermarks: npt.NDArray[np.int64],
        partitions: int | None = None,
        shown: pl.DataFrame | None = None,
    ) -> Records:
        """Records for `matches`; arguments are those of topology.correlate.partials.partials.

        Counts: `list_tests`, `list_changes`, `matches_late` of tests, and `list_without_key`.
        """
        found = [index for index in hits if index in self._steps]
        counts: Counter[str] = Counter()
        parts: dict[tuple[tuple[str, ...], str], list[pl.DataFrame]] = {}
        if found:
            late = events["time"].to_numpy() < watermarks
        for index in found:
            rule = self._rules.events[index].rule
            served = [tenant for tenant in tenants if rule.serves(tenant)]
            rows = hits[index][~late[hits[index]]]
            if index in self.tested:
                counts["matches_late"] += len(hits[index]) - len(rows)
            if not served or not len(rows):
                continue
            seen = _Rows(events, events if shown is None else shown, rows)
            steps = self._steps[index]
            for at, step in enumerate(steps):
                if before(steps, at) is not None:
                    break
                content = self._content(index, rule, steps, at, source, seen)
                for tenant in served if step.list.shared else [None]:
                    part = seen.matches(step, content, tenant)
                    counts["list_without_key"] += len(rows) - part.height
                    counts["list_tests" if step.tests else "list_changes"] += part.height
                    if part.height:
                        scopes = (SHARED,) if step.list.shared else tuple(served)
                        parts.setdefault((scopes, step.list.name), []).append(part)
        return _written(parts, source, partitions, counts)

    def _content(
        self, index: int, rule: Rule, steps: tuple[Step, ...], at: int, source: str, seen: "_Rows"
    ) -> list[pl.Expr]:
        step = steps[at]
        content = [pl.lit(step.action).alias("a"), pl.lit(rule.id).alias("r")]
        if step.action == "add":
            content += [pl.lit(step.ttl_ms, dtype=pl.Int64).alias("t"), *seen.values("v", step)]
        if not step.tests:
            return content
        content += [pl.lit(at).alias("s"), pl.lit(source).alias("o")]
        if self._rules.events[index].alerts:
            content += seen.struct("e", seen.evidence(self._rules.events[index].shown))
        later = list(enumerate(steps))[at + 1 :]
        keys = [
            seen.placed(str(number), [(columns, True) for columns in each.key])
            for number, each in later
        ]
        content += _object("k", keys)
        content += _object("w", [part for n, each in later for part in seen.values(str(n), each)])
        counted = []
        for correlation, place in self._over.get(index, ()):
            group = [(columns, True) for columns in correlation.group_columns[place]]
            values = [(columns, False) for columns in correlation.value_columns[place]]
            parts = [seen.placed("g", group), seen.placed("v", values)]
            parts += seen.marks(correlation.shown)
            counted.append(pl.struct(parts).alias(correlation.rule.id))
        return [*content, *_object("c", counted)]


def _object(name: str, parts: Sequence[pl.Expr]) -> list[pl.Expr]:
    return [pl.struct(parts).alias(name)] if parts else []


class _Rows:
    """Some rows of a batch, and what is read from them: each column once."""

    def __init__(self, events: pl.DataFrame, shown: pl.DataFrame, rows: Rows) -> None:
        self._frames = {False: events, True: shown}
        self._rows = rows
        self._known: dict[tuple[tuple[str, ...], bool], str] = {}
        self._columns = [
            events["time"].gather(rows).alias("time"),
            events["metadata.uid"].gather(rows).alias("uid"),
        ]

    def text(self, names: tuple[str, ...], masked: bool) -> pl.Expr:  # of a pair
        """Text from the first column that has some; as a tenant may read it, or as it is."""
        at = (names, masked)
        if at not in self._known:
            found = partial_columns.texts(self._frames[masked], self._rows, names)
            self._known[at] = f"#{len(self._known)}"
            self._columns.append(as_text(found).alias(self._known[at]))
        return pl.col(self._known[at])

    def struct(
        self, name: str, fields: Mapping[str, tuple[tuple[str, ...], bool]]
    ) -> list[pl.Expr]:
        """An object of texts."""
        return _object(name, [self.text(*pair).alias(key) for key, pair in fields.items()])

    def placed(self, name: str, fields: Sequence[tuple[tuple[str, ...], bool]]) -> pl.Expr:
        """An object of texts by place; null where there are none."""
        named = {str(place): pair for place, pair in enumerate(fields)}
        return next(iter(self.struct(name, named)), pl.lit(None).alias(name))

    def evidence(self, fields: Fields) -> dict[str, tuple[tuple[str, ...], bool]]:
        """What an alert shows of an event; that of its assets only where they have any. `fields`:
        what the rule names besides."""
        assets = PRIORITY in self._frames[True].columns
        return {
            name: (columns, True)
            for name, columns in key_fields(fields).items()
            if assets or PRIORITY not in columns
        }

    def marks(self, fields: Fields) -> list[pl.Expr]:
        """What goes along with matches, where there is something."""
        found = marks(self._frames[False], self._frames[True], self._rows, fields)
        return [] if found is None else [pl.lit(found).alias("m")]

    def values(self, name: str, step: Step) -> list[pl.Expr]:
        """The values that a step keeps."""
        return self.struct(name, {key: (columns, True) for key, columns in step.values})

    def matches(self, step: Step, content: Sequence[pl.Expr], tenant: str | None) -> pl.DataFrame:
        """`time`, `uid`, `g0` and so on for the key, and `v0`, what is to be done."""
        key = [self.text(columns, True).alias(f"g{at}") for at, columns in enumerate(step.key)]
        named = [] if tenant is None else [pl.lit(tenant).alias("n")]
        said = pl.struct([*content, *named]).struct.json_encode().alias("v0")
        found = pl.DataFrame(self._columns).select("time", "uid", *key, said)
        return found.drop_nulls([f"g{at}" for at in range(len(key))])


def _written(
    parts: Mapping[tuple[tuple[str, ...], str], Sequence[pl.DataFrame]],
    source: str,
    partitions: int | None,
    counts: Counter[str],
) -> Records:
    keys: list[pl.Series] = []
    values: list[pl.Series] = []
    batches: list[tuple[int, bytes]] = []
    name = packed.text(source)
    for (scopes, listed), frames in parts.items():
        found = pl.concat(frames)
        found = found.sort(*found.columns[2:-1], "time", "uid", "v0")
        made = partial_columns.divide(found, LIST + listed, LARGEST)
        if partitions is not None and len(made.firsts) >= partial_columns.GROUPS:
            for scope in scopes:
                batches += partial_columns.batches(made, scope, name, partitions)
            continue
        for key, value in partial_columns.write(made, scopes, name):
            keys.append(key)
            values.append(value)
    if not keys:
        return Records([], [], dict(counts), batches)
    return Records(pl.concat(keys), pl.concat(values), dict(counts), batches)
