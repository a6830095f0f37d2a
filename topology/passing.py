"""Judges many tests of lists at once, in columns, where they look as sub-topology 1 writes them.

What looks different is judged key by key, with the same result (topology/judging.py).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from topology.adding import FAR, PLAIN, RULES, TEXT, Added, Adding, Numbers, entries_of, write
from topology.correlate.list_key import Entry
from topology.list_alerts import WRONG, check
from topology.lists import Step, before
from topology.rules import EventRule, Rules

MANY: Final = 32
"""Fewer tests of a rule are not worth columns."""
TEST: Final = re.compile(
    rf'\{{"a":"(in|not_in)","r":({TEXT}),"s":(0|[1-9][0-9]{{0,3}}),"o":({TEXT})(?=[,}}])'
)
Rows = npt.NDArray[np.bool_]


class Asked(NamedTuple):
    """Tests, in columns; what was there before is in `heads`, and `said` is what `texts` say."""

    rows: Numbers
    times: Numbers
    uids: pl.Series
    texts: pl.Series
    said: pl.DataFrame
    heads: list[bytes | None]

    def only(self, some: Rows) -> "Asked":
        """Some of them."""
        chosen = pl.Series(some)
        return Asked(
            self.rows[some],
            self.times[some],
            self.uids.filter(chosen),
            self.texts.filter(chosen),
            self.said.filter(chosen),
            [self.heads[row] for row in np.flatnonzero(some).tolist()],
        )


class Tests(NamedTuple):
    """Tests of one kind that were judged: `rows` are their places in what was given, and the rest
    is of those that were passed, in the order of time. `events`: `time`, `uid` and `text`; `said`:
    what that says; `entries`: what was there, where alerts tell it; `added`: what follows there."""

    rows: Numbers
    entry: EventRule
    at: int
    events: pl.DataFrame
    said: pl.DataFrame
    entries: Sequence[Entry | None]
    added: Added | None


class Passing:
    """For a set of rules."""

    def __init__(self, rules: Rules) -> None:
        self._steps = rules.steps
        self._events = {entry.rule.id: entry for entry in rules.events}

    def judged(
        self,
        texts: Sequence[str],
        times: Numbers,
        uids: Sequence[str],
        heads: Sequence[bytes | None],
        waits: Rows,
        judged: int,
    ) -> Iterator[Tests]:
        """Judge those of what waits that are many alike; the others are as of topology.adding.add.

        A key may come again: tests that change its entry are of keys that come once.
        """
        if np.count_nonzero(waits) < MANY:
            return
        column, names = pl.Series(texts, dtype=pl.String), pl.Series(uids, dtype=pl.String)
        waits = waits & names.str.contains(PLAIN).to_numpy() & (np.abs(times) < FAR)
        for _ in range(RULES):
            rows = np.flatnonzero(waits)
            if len(rows) < MANY:
                return
            beginning = TEST.match(texts[int(rows[0])])
            if beginning is None:
                waits[rows[0]] = False
                continue
            like = waits & column.str.starts_with(beginning[0]).to_numpy()
            waits &= ~like
            rows, at = np.flatnonzero(like), int(beginning[3])
            entry = self._events.get(orjson.loads(beginning[2]))
            steps = () if entry is None else self._steps.get(entry.rule.id, ())
            if entry is None or not _fits(entry, steps, at, beginning[1]):
                continue
            some = column.gather(rows)
            said = _said(some)
            if said is None:
                continue
            same = np.flatnonzero((said.struct.json_encode() == some).fill_null(value=False))
            asked = Asked(
                rows[same],
                times[rows[same]],
                names.gather(rows[same]),
                some.gather(same),
                said.gather(same).struct.unnest(),
                [heads[row] for row in rows[same].tolist()],
            )
            if len(same):
                yield self._tests(asked, entry, at, judged)

    def _tests(self, asked: Asked, entry: EventRule, at: int, judged: int) -> Tests:
        steps = self._steps[entry.rule.id]
        test = steps[at]
        _, until, _ = entries_of(asked.heads)
        passes = (until > asked.times) == (test.action == "in")
        added = None
        for number, step in owned(steps, at):
            values = _values(asked.said, str(number))
            whole = values.is_not_null().to_numpy() | ~passes
            if not whole.all():  # of what is not there nothing is kept
                asked, values, passes = asked.only(whole), values.filter(whole), passes[whole]
            own = asked.only(passes)
            adding = Adding(orjson.dumps(entry.rule.id).decode(), step.ttl_ms)
            kept = values.filter(passes)
            added = write(own.rows, adding, kept, own.times, own.uids, own.heads, judged)
        passed = asked.only(passes)
        events = pl.DataFrame({"time": passed.times, "uid": passed.uids, "text": passed.texts})
        order = events.select(pl.arg_sort_by("time", "uid")).to_series()
        told: Sequence[Entry | None] = ()
        if _tells(entry, test):
            _, _, found = entries_of(passed.heads)
            told = [found[place] for place in order.to_list()]
        return Tests(asked.rows, entry, at, events[order], passed.said[order], told, added)


def owned(steps: tuple[Step, ...], at: int) -> list[tuple[int, Step]]:
    """The changes of the entry that a test is about, which follow it, with their numbers."""
    test = steps[at]
    return [
        (number, step)
        for number, step in enumerate(steps)
        if not step.tests and before(steps, number) is test and step.same_entry(test)
    ]


def _tells(entry: EventRule, test: Step) -> bool:
    """Whether an alert tells the entry that was there."""
    return entry.alerts and test.action == "in" and not test.list.shared


def _fits(entry: EventRule, steps: tuple[Step, ...], at: int, action: str) -> bool:
    """Whether a test is what its rule asks, and what follows can be done in columns."""
    if at >= len(steps) or steps[at].action != action:
        return False
    own = [step.action for _, step in owned(steps, at)]
    if own not in ([], ["add"]):
        return False
    return not _tells(entry, steps[at]) or before(steps, len(steps)) is steps[at]


def _said(texts: pl.Series) -> pl.Series | None:
    """What texts say, as objects with the names that are in the first; None: with that, or with
    another, nothing can be done."""
    try:
        first = orjson.loads(texts[0])
        check(first)
        shape = _shape(first)
        return texts.str.json_decode(shape) if isinstance(shape, pl.Struct) else None
    except (*WRONG, pl.exceptions.PolarsError):
        return None


def _shape(said: Any) -> pl.DataType | None:
    """The type of what JSON says; None: of something else than texts, numbers and objects."""
    if isinstance(said, dict) and said:
        shapes = {name: _shape(each) for name, each in said.items()}
        known = {name: shape for name, shape in shapes.items() if shape is not None}
        return pl.Struct(known) if len(known) == len(shapes) else None
    if said is None or isinstance(said, str):
        return pl.String()
    return pl.Int64() if type(said) is int else None


def _values(said: pl.DataFrame, number: str) -> pl.Series:
    """What a step keeps, as JSON; null where one of the values is."""
    kept = field(said, "w", number)
    if kept is None or not isinstance(kept.dtype, pl.Struct):
        return pl.Series(["{}"], dtype=pl.String).new_from_index(0, said.height)
    whole = kept.struct.unnest().select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    return kept.struct.json_encode().set(~whole, None)


def field(said: pl.DataFrame, *names: str) -> pl.Series | None:
    """A column within objects; None: there is no such one."""
    if names[0] not in said.columns:
        return None
    found = said[names[0]]
    for name in names[1:]:
        if not isinstance(found.dtype, pl.Struct) or name not in found.struct.fields:
            return None
        found = found.struct.field(name)
    return found
