"""Matches of a batch become Partial records: one for each tenant, rule and group.

What correlates or alerts on its own is decided in sub-topology 2; a Partial carries all that it
needs, so that neither batch cuts nor the worker a batch ran on can change an alert.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from schemas import packed
from topology.asset_priority import PRIORITY
from topology.correlate import partial_columns
from topology.correlate.marks import marked
from topology.keys import opened
from topology.rules import STEPS, Correlation, Fields, Hits, Records, Rule, Rules, is_number
from topology.texts import all_shortened, as_text

LARGEST = 4_096
"""Matches in one Partial; more of them make several."""

EVIDENCE = {
    "user": ("@user", "actor.user.name"),
    "ip": ("@user_ip", "src_endpoint.ip"),
    "protocol": ("@protocol", "connection_info.protocol_name"),
    "operation": ("@operation", "api.operation", "metadata.event_code"),
    "status": ("@status", "status_code"),
    "path": ("@path", "file.path"),
    "target": ("@target_path", "file_result.path"),
    "host": ("dst_endpoint.hostname", "device.hostname"),
    "priority": (PRIORITY,),
}
"""Key fields of an event that an alert on a single event shows: name → columns, first one wins."""


def key_fields(named: Fields) -> dict[str, tuple[str, ...]]:
    """These, and others that a rule names."""
    return EVIDENCE | {name: columns for name, columns in named if name not in EVIDENCE}


Rows: TypeAlias = npt.NDArray[np.int64]
Group: TypeAlias = tuple[str, ...]


Member: TypeAlias = tuple[Rows, Sequence[Sequence[str]], Sequence[Sequence[str]], str | bool]
"""Rows, the columns of each group-by field and of each field that is counted, and the rule's id
where the correlation asks which rules matched; else whether the values are numbers."""


Match: TypeAlias = tuple[int, str, Group, str | list[str] | None]
"""Time, uid, group, and what the correlation counts: a text, or texts for several fields."""


def partials(
    events: pl.DataFrame,
    hits: Hits,
    rules: Rules,
    *,
    tenants: Sequence[str],
    source: str,
    watermarks: npt.NDArray[np.int64],
    partitions: int | None = None,
    shown: pl.DataFrame | None = None,
) -> Records:
    """Records for `matches` from the hits of a batch.

    `events` has `time` (Int64, ms), `metadata.uid` (String) and whatever rules group by; a column
    that is missing is a field without a value. `watermarks[i]` is the watermark of row i's raw
    partition before that row: a row with an earlier time is late and joins no group. `partitions`:
    how many `matches` has; without it there are no PartialBatches. `shown`: the same rows with the
    columns that groups and evidence are taken from, where those of `events` are not to be seen.

    Counts: `matches`, `matches_late`, `matches_without_group`, `matches_without_value`.
    """
    if not hits or not tenants:
        return Records([], [], {})
    writer = _Writer(tenants, source, partitions)
    late = events["time"].to_numpy() < watermarks
    shown = events if shown is None else shown
    counts = writer.counts
    for correlation in rules.correlations:
        if not any(map(correlation.rule.serves, tenants)):
            continue
        members = _members(hits, correlation, rules, late, counts)
        counted = marked(events, shown, [rows for rows, *_ in members], correlation.shown)
        if sum(len(rows) for rows, *_ in members) >= partial_columns.MANY:
            writer.write_columns(
                correlation, partial_columns.matches(counted, shown, members, counts)
            )
        elif members:
            writer.write(correlation.rule, _matches(counted, shown, members, counts))
    for index, rows in hits.items():
        rule = rules.events[index]
        if rule.alerts and any(map(rule.rule.serves, tenants)):
            # What is said of one event needs no window, so none is too late for it.
            matches = sorted(_read(events, shown, rows, (), (), False, counts))
            writer.write(rule.rule, matches, _evidence(events, shown, rows, rule.shown))
    return writer.records()


def _on_time(rows: Rows, late: npt.NDArray[np.bool_], counts: Counter[str]) -> Rows:
    kept = rows[~late[rows]]
    counts["matches_late"] += len(rows) - len(kept)
    return kept


def _members(
    hits: Hits,
    correlation: Correlation,
    rules: Rules,
    late: npt.NDArray[np.bool_],
    counts: Counter[str],
) -> list[Member]:
    """What a correlation's members hit in time; those that group and count alike are one."""
    names = [rules.events[member].rule.id for member in correlation.members]
    steps: Sequence[str | bool] = names if correlation.steps else [correlation.numeric] * len(names)
    columns = list(zip(correlation.group_columns, correlation.value_columns, steps, strict=True))
    members = [
        (hits[member], *pair)
        for member, pair in zip(correlation.members, columns, strict=True)
        if member in hits
    ]
    if len(members) > 1 and all(pair == columns[0] for pair in columns):
        members = [(np.unique(np.concatenate([rows for rows, *_ in members])), *columns[0])]
    return [
        (_on_time(rows, late, counts), group, value, step) for rows, group, value, step in members
    ]


def _matches(
    events: pl.DataFrame, shown: pl.DataFrame, members: Sequence[Member], counts: Counter[str]
) -> list[Match]:
    """Matches of all members in (time, uid) order; an event that several match counts once."""
    if len(members) == 1:
        return sorted(_read(events, shown, *members[0], counts))
    found: dict[tuple[str, Group], Match] = {}
    for member in members:
        matches = _read(events, shown, *member, counts)
        if isinstance(member[3], bool):
            found |= {(match[1], match[2]): match for match in matches}
            continue
        for time, uid, group, step in matches:
            before = found.get((uid, group))
            steps = step if before is None else f"{before[3]}{STEPS}{step}"
            found[uid, group] = (time, uid, group, steps)
    return sorted(found.values())


def _read(
    events: pl.DataFrame,
    shown: pl.DataFrame,
    rows: Rows,
    group: Sequence[Sequence[str]],
    value: Sequence[Sequence[str]],
    step: str | bool,
    counts: Counter[str],
) -> list[Match]:
    """The matches of some rows, without those that lack a group or a value."""
    times = events["time"].gather(rows).to_list()
    uids = events["metadata.uid"].gather(rows).to_list()
    groups: Iterable[tuple[str | None, ...]] = repeat((), len(rows))
    if group:
        groups = zip(*(_texts(shown, rows, name) for name in group), strict=True)
    values: Iterable[str | list[str] | None] = repeat(
        None if isinstance(step, bool) else step, len(rows)
    )
    if len(value) == 1:
        values = _texts(events, rows, value[0])
        if step is True:
            values = [text if text is not None and is_number(text) else None for text in values]
    elif value:
        tuples = zip(*(_texts(events, rows, name) for name in value), strict=True)
        values = [None if None in entry else list(entry) for entry in tuples]
    matches = list(zip(times, uids, groups, values, strict=True))
    grouped = [match for match in matches if None not in match[2]]
    valued = [match for match in grouped if match[3] is not None] if value else grouped
    counts["matches_without_group"] += len(matches) - len(grouped)
    counts["matches_without_value"] += len(grouped) - len(valued)
    return cast("list[Match]", valued)


def _texts(events: pl.DataFrame, rows: Rows, names: Sequence[str]) -> list[str | None]:
    """Values of some rows as text, from the first of the columns that has one."""
    found: list[str | None] = [None] * len(rows)
    for name in names:
        if name in events.columns:
            values = all_shortened(as_text(events[name].gather(rows)).to_list())
            found = [v if f is None else f for f, v in zip(found, values, strict=True)]
            if None not in found:
                break
    return found


def _evidence(
    events: pl.DataFrame, shown: pl.DataFrame, rows: Rows, fields: Fields
) -> dict[str, bytes]:
    """Key fields of some rows, and those that the rule names, as JSON objects, by uid."""
    there = frozenset(shown.columns)
    chosen = {
        name: _texts(shown, rows, columns)
        for name, columns in key_fields(fields).items()
        if not there.isdisjoint(columns)
    }
    uids = events["metadata.uid"].gather(rows).to_list()
    nothing: Iterable[tuple[str | None, ...]] = repeat((), len(uids))
    entries = zip(*chosen.values(), strict=True) if chosen else nothing
    return {
        uid: orjson.dumps({k: v for k, v in zip(chosen, entry, strict=True) if v is not None})
        for uid, entry in zip(uids, entries, strict=True)
    }


class _Writer:
    """Collects the records of a batch."""

    def __init__(self, tenants: Sequence[str], source: str, partitions: int | None) -> None:
        self._partitions = partitions
        self._batches: list[tuple[int, bytes]] = []
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._columns: list[tuple[pl.Series, pl.Series]] = []
        self.counts: Counter[str] = Counter()
        self._tenants = tenants
        self._source = packed.text(source)

    def records(self) -> Records:
        """All of them: as columns where some are, else as lists."""
        counts = dict(self.counts)
        if not self._columns:
            return Records(self._keys, self._values, counts, self._batches)
        keys, values = (
            pl.concat([pl.Series(few, dtype=pl.Binary), *many])
            for few, many in zip(
                (self._keys, self._values), zip(*self._columns, strict=True), strict=True
            )
        )
        return Records(keys, values, counts, self._batches)

    def write_columns(self, correlation: Correlation, found: pl.DataFrame) -> None:
        """Write the Partials of one correlation from many matches."""
        self.counts["matches"] += found.height
        if not found.height:
            return
        if correlation.first_seen:
            found = partial_columns.first_and_last(found, correlation.timespan_ms)
        made = partial_columns.divide(found, correlation.rule.id, LARGEST)
        tenants = self._served(correlation.rule)
        if self._partitions is not None and len(made.firsts) >= partial_columns.GROUPS:
            for tenant in tenants:
                self._batches += partial_columns.batches(
                    made, tenant, self._source, self._partitions
                )
        else:
            self._columns += partial_columns.write(made, tenants, self._source)

    def _served(self, rule: Rule) -> list[str]:
        return [tenant for tenant in self._tenants if rule.serves(tenant)]

    def write(
        self, rule: Rule, matches: Sequence[Match], evidence: Mapping[str, bytes] | None = None
    ) -> None:
        """Write the Partials of one rule; `matches` are in (time, uid) order."""
        self.counts["matches"] += len(matches)
        tenants = self._served(rule)
        groups: dict[Group, list[Match]] = {}
        for match in matches:
            members = groups.get(match[2])
            if members is None:
                groups[match[2]] = [match]
            else:
                members.append(match)
        for group, members in groups.items():
            for start in range(0, len(members), LARGEST):
                for content in _contents(members[start : start + LARGEST], evidence):
                    for tenant in tenants:
                        key, opening = opened("Partial", tenant, rule.id, group)
                        self._keys.append(key)
                        self._values.append(packed.partial(opening, content, self._source))


def _contents(
    matches: Sequence[Match], evidence: Mapping[str, bytes] | None
) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """The contents of Partials, each of which fits a record."""
    content = _content(matches, evidence)
    if len(matches) == 1 or sum(map(len, content)) <= partial_columns.FITS:
        yield content
        return
    half = len(matches) // 2
    yield from _contents(matches[:half], evidence)
    yield from _contents(matches[half:], evidence)


def _content(
    matches: Sequence[Match], evidence: Mapping[str, bytes] | None
) -> tuple[bytes, bytes, bytes, bytes]:
    """Times, uids, values and evidence as a Partial carries them."""
    times = struct.pack(f"<{len(matches)}q", *[match[0] for match in matches])
    uids = "\n".join([match[1] for match in matches]).encode()
    values = b"" if matches[0][3] is None else orjson.dumps([match[3] for match in matches])
    shown = b""
    if evidence is not None:
        shown = b"[" + b",".join([evidence[match[1]] for match in matches]) + b"]"
    return times, uids, values, shown
