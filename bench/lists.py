"""What active lists cost: CPU of each thing that a rule does to one, or asks it.

Events at 10,000 a second, each of which a rule matches, over many keys and over few. Both sides of
the repartition topic are measured on one thread, in batches of 20,000, as for correlations
(bench/sigma_correlations.py): hits to records of `matches` (topology/list_records.py), and those to
alerts (topology/active_lists.py) with the writes to the stores, what lists send back to `matches`
included. The time is that of one event through all its steps.
"""

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from app.runtime.store import Store
from bench.matches import BASE_MS, BATCH, RATE_PER_MS, Values, batch, events, flattened, plain
from bench.measure import Measurement, show, write
from bench.options import Options
from topology.alerts import AlertsSubTopology
from topology.list_records import Listing
from topology.lists import ActiveList
from topology.match.compile import compile_rules
from topology.records import Output, Position
from topology.rules import LogSource
from topology.topics import Names

CASE = "lists"
EVENTS = 400_000
LATENESS_MS = 2_000
"""How far all events are behind that are judged: one batch is."""
KEYS = {"few": 100, "many": 20_000, "new": 1 << 40}
"""200 events of a key in a batch; one, two or three; and one of each key at all."""
SOURCE = LogSource("bench", "lists")
LISTS = {
    each.name: each
    for each in (ActiveList("seen", ("user",), 600_000), ActiveList("empty", ("u",)))
}
RULE = """
title: Listed
name: listed
logsource: {{product: bench, service: lists}}
detection: {{selection: {{kind: x}}, condition: selection}}
level: low
northbound:
  alert: {alert}
  lists: [{steps}]
"""
STEPS = {
    "add": (False, ["{add: seen, key: [user], values: [path]}"]),
    "not_passed": (True, ["{in: empty, key: [user]}"]),
    "passed": (True, ["{not_in: empty, key: [user]}"]),
    "new": (True, ["{not_in: seen, key: [user]}", "{add: seen, key: [user]}"]),
    "asked_first": (False, ["{not_in: empty, key: [user]}", "{add: seen, key: [user]}"]),
}
"""What the rule does, and whether those events that pass alert. `asked_first` adds to a list after
another one was asked: two records of `matches` for each event."""


class Run:
    """A rule with steps, and a stream of events that all match it through both sides."""

    def __init__(self, alert: bool, steps: Sequence[str], keys: int, seed: int) -> None:
        text = RULE.format(alert=str(alert).lower(), steps=", ".join(steps))
        self._rules = compile_rules([("bench.yml", text)], lists=LISTS)
        self._listing = Listing(self._rules.rules)
        self._random = np.random.default_rng(seed)
        self._keys = keys
        self._at = 0
        self._stores = {"alerts": Store(), "lists": Store()}
        self._alerts = AlertsSubTopology(
            self._rules.rules, [], Names(), {"acme": {"s"}}, {"s": SOURCE}
        )
        self._alerts.assign(
            {("matches", 0): Position(0)},
            {(name, 0): store for name, store in self._stores.items()},
        )
        self.spent = [0.0, 0.0]
        self.events = self.alerts = 0

    def batch(self) -> None:
        """The next events."""
        found = self._events()
        marks: npt.NDArray[np.int64] = np.full(BATCH, BASE_MS - LATENESS_MS, np.int64)
        before = time.process_time()
        records = self._listing.records(
            found,
            {0: np.arange(BATCH)},
            tenants=["acme"],
            source="s",
            watermarks=marks,
            partitions=1,
        )
        self.spent[0] += time.process_time() - before
        watermark = BASE_MS + self._at // RATE_PER_MS - LATENESS_MS
        batches = deque([batch(*flattened(records), watermark=watermark)])
        before = time.process_time()
        while batches:
            outcome = self._alerts.process(batches.popleft())
            if outcome.counts.get("dead_letters"):
                raise RuntimeError(f"matches were refused: {outcome.counts}")
            for output in outcome.outputs:
                if output.topic == "matches":
                    batches.append(batch(*_of(output)))
                else:
                    self.alerts += len(output.values)
        self._alerts.before_commit()
        for store in self._stores.values():
            store.commit()
        self.spent[1] += time.process_time() - before
        self.events += BATCH

    def _events(self) -> pl.DataFrame:
        rows = np.arange(self._at, self._at + BATCH)
        self._at += BATCH
        users = self._random.integers(self._keys, size=BATCH)
        paths = self._random.integers(1_000, size=BATCH)
        return events(rows, users, paths).with_columns(pl.col("user").alias("actor.user.name"))


def _of(output: Output) -> tuple[Values, Values]:
    none: Values = [None] * len(output.values)
    return none if output.keys is None else plain(output.keys), plain(output.values)


def run(options: Options) -> int:
    """The whole case; it compares nothing, so it is always 0."""
    figures: list[Measurement] = []
    for name, (alert, steps) in STEPS.items():
        for many, keys in KEYS.items():
            found = min(_measured(alert, steps, keys, options) for _ in range(options.runs))
            both, before, behind, alerts = found
            figures += [
                Measurement(CASE, "northbound", f"{name}_{many}_keys_{metric}", value)
                for metric, value in (
                    ("us", both),
                    ("before_us", before),
                    ("behind_us", behind),
                    ("alerts", alerts),
                )
            ]
    show(CASE, figures)
    if options.complete and not options.systems:
        Path("build").mkdir(exist_ok=True)
        write(figures)
    return 0


def _measured(
    alert: bool, steps: Sequence[str], keys: int, options: Options
) -> tuple[float, float, float, float]:
    """Microseconds of CPU an event: in all, before `matches`, and behind; and alerts."""
    stream = Run(alert, steps, keys, options.seed)
    for _ in range(3):
        stream.batch()
    stream.spent, stream.events, stream.alerts = [0.0, 0.0], 0, 0
    for _ in range(max(2, (options.events or EVENTS) // BATCH)):
        stream.batch()
    before, behind = (spent / stream.events * 1e6 for spent in stream.spent)
    return before + behind, before, behind, stream.alerts
