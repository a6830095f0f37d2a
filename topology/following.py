"""What becomes of many events whose tests of lists were passed, in columns: their records.

Equal to what ActiveLists.go_on makes of each (topology/active_lists.py), but that many keys share a
record, as where rules match (topology/list_records.py).
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson
import polars as pl

from schemas import packed
from topology import list_alerts
from topology.correlate import partial_columns
from topology.correlate.list_key import Passed
from topology.correlate.partials import LARGEST
from topology.lists import LIST, Step, before
from topology.passing import Tests, field
from topology.records import Output
from topology.rules import NUMBER, Alert, Correlation, EventRule, Rules

NUMBERS: Final = f"^(?:{NUMBER})$"


class Work(Protocol):
    """Takes what a batch leads to (topology/outbox.py)."""

    counts: Any

    def say(self, alert: Alert) -> None:
        """Tell a tenant."""

    def write(self, output: Output) -> None:
        """Send records."""


class Alike(NamedTuple):
    """Events of a tenant that passed the same test of a rule; `said`: what their tests say."""

    tenant: str
    entry: EventRule
    steps: tuple[Step, ...]
    test: Step
    events: pl.DataFrame
    said: pl.DataFrame


class Following:
    """For a set of rules. `matches`: the topic, that has so many `partitions`."""

    def __init__(self, rules: Rules, tenants: Sequence[str], matches: str, partitions: int) -> None:
        self._steps = rules.steps
        self._correlations = {entry.rule.id: entry for entry in rules.correlations}
        self._tenants = frozenset(tenants)
        self._matches = matches
        self._partitions = partitions

    def go_on(self, scope: str, tests: Tests, work: Work) -> None:
        """Do what follows where tests were passed of a list of a tenant, or one that all share."""
        if not tests.events.height:
            return
        steps = self._steps[tests.entry.rule.id]
        tenants = field(tests.said, "n")
        for name in [None] if tenants is None else tenants.unique(maintain_order=True).to_list():
            events, said, there = tests.events, tests.said, tests.entries
            if name is not None and tenants is not None:
                own = tenants == name
                events, said = events.filter(own), said.filter(own)
            tenant = name or scope
            if tenant not in self._tenants or not tests.entry.rule.serves(tenant):
                work.counts["matches_of_unknown_rule"] += events.height
                continue
            alike = Alike(tenant, tests.entry, steps, steps[tests.at], events, said)
            self._follow(alike, there, work)

    def _follow(self, alike: Alike, there: Sequence[Any], work: Work) -> None:
        entry, steps, test, events = alike.entry, alike.steps, alike.test, alike.events
        for number, step in enumerate(steps):
            if before(steps, number) is test and (step.tests or not step.same_entry(test)):
                self._step(alike, number, work)
        if before(steps, len(steps)) is not test:
            return
        work.counts["list_tests_passed"] += events.height
        if entry.alerts:
            for row, (time, uid, text) in enumerate(events.iter_rows()):
                content = orjson.loads(text)
                found = there[row] if there else None
                if found is not None:
                    told = list_alerts.told(test, found)
                    content["e"] = {**(content.get("e") or {}), **told}
                work.say(list_alerts.alert(alike.tenant, entry, Passed(time, uid, content, found)))
        counted = field(alike.said, "c")
        for name in counted.struct.fields if counted is not None else ():
            correlation = self._correlations.get(name)
            if correlation is not None and correlation.rule.serves(alike.tenant):
                self._counted(alike, correlation, work)

    def _step(self, alike: Alike, number: int, work: Work) -> None:
        """Records for the list of another step."""
        step, said, events = alike.steps[number], alike.said, alike.events
        keys = _placed(field(said, "k", str(number)), "g")
        if len(keys) != len(step.list.key):
            work.counts["list_without_key"] += events.height
            return
        content: list[pl.Expr | pl.Series]
        if step.tests:
            kept = [name for name in said.columns if name not in ("a", "s", "n")]
            content = [
                pl.lit(step.action).alias("a"),
                pl.lit(alike.entry.rule.id).alias("r"),
                pl.lit(number).alias("s"),
                *(said[name] for name in kept if name != "r"),
            ]
        else:
            content = [pl.lit(step.action).alias("a"), pl.lit(alike.entry.rule.id).alias("r")]
            if step.action == "add":
                content.append(pl.lit(step.ttl_ms, dtype=pl.Int64).alias("t"))
                values = field(said, "w", str(number))
                content += [] if values is None else [values.alias("v")]
        if step.list.shared:
            content.append(pl.lit(alike.tenant).alias("n"))
        text = events.with_columns(pl.struct(content).struct.json_encode().alias("v0"))["v0"]
        frame = pl.DataFrame([events["time"], events["uid"], *keys, text])
        found = frame.drop_nulls([key.name for key in keys])
        if found.height < frame.height:
            work.counts["list_without_key"] += frame.height - found.height
        self._write(found, LIST + step.list.name, step.list.scope(alike.tenant), "", work)

    def _counted(self, alike: Alike, correlation: Correlation, work: Work) -> None:
        """Matches of a correlation over the rule."""
        name, events = correlation.rule.id, alike.events
        groups = _placed(field(alike.said, "c", name, "g"), "g")
        values = _placed(field(alike.said, "c", name, "v"), "v")
        if len(groups) != len(correlation.group_by):
            return
        marks = field(alike.said, "c", name, "m")
        uids = events["uid"] if marks is None else events["uid"] + marks.fill_null("")
        frame = pl.DataFrame([events["time"], uids, *groups, *values])
        frame = frame.drop_nulls([each.name for each in (*groups, *values)])
        if correlation.steps:
            frame = frame.drop([each.name for each in values])
            frame = frame.with_columns(pl.lit(alike.entry.rule.id).alias("v0"))
        elif correlation.numeric:
            if len(values) != 1:
                return
            frame = frame.filter(pl.col("v0").str.contains(NUMBERS))
        self._write(frame, name, alike.tenant, alike.said["o"][0], work)

    def _write(self, frame: pl.DataFrame, rule: str, scope: str, source: str, work: Work) -> None:
        if not frame.height:
            return
        groups = [name for name in frame.columns if name.startswith("g")]
        made = partial_columns.divide(frame.sort(*groups, "time", "uid"), rule, LARGEST)
        name = packed.text(source)
        if len(made.firsts) >= partial_columns.GROUPS:
            for at, value in partial_columns.batches(made, scope, name, self._partitions):
                work.write(Output(self._matches, [value], [b""], at))
            return
        for keys, values in partial_columns.write(made, [scope], name):
            work.write(Output(self._matches, values, keys))


def _placed(found: pl.Series | None, kind: str) -> list[pl.Series]:
    """The texts of an object by place, as columns."""
    if found is None or not isinstance(found.dtype, pl.Struct):
        return []
    names = [str(place) for place in range(len(found.struct.fields))]
    if set(names) != set(found.struct.fields):
        return []
    return [found.struct.field(name).alias(f"{kind}{name}") for name in names]
