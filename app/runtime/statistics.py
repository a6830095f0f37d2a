"""What an engine counts, as JSON for `/stats` and as Prometheus metrics for `/metrics`."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from topology.costs import Costs
from topology.topics import Partition


@dataclass(slots=True)
class Restore:
    """Reading stores back from their changelogs."""

    runs: int = 0
    keys: int = 0
    records: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Copies:
    """Standby copies of stores whose partitions other members own."""

    stores: int = 0
    caught_up: int = 0
    """Those that have been at the end of their changelogs."""
    records: int = 0
    """Changelog records read."""


@dataclass(slots=True)
class EngineStatistics:
    """Written by the engine's thread, read by any. Times are Unix seconds, durations seconds."""

    name: str
    group: str
    ready: bool = False
    """Partitions were assigned (maybe none) and all stores restored."""
    records: int = 0
    """Delivered, redelivered ones included."""
    batches: int = 0
    outputs: int = 0
    """Records written to output topics, those of aborted transactions included."""
    commits: int = 0
    committed: int = 0
    """Input records whose transactions were committed in this process."""
    aborts: int = 0
    rebalances: int = 0
    rejoins: int = 0
    skipped: int = 0
    """Input offsets that retention or a deletion of the topic removed before they were read."""
    rejected: int = 0
    """Records that ended the process each time they were tried."""
    stage_seconds: float = 0.0
    commit_seconds: float = 0.0
    last_commit: float = 0.0
    restore: Restore = field(default_factory=Restore)
    standby: Copies = field(default_factory=Copies)
    counts: Counter[str] = field(default_factory=Counter)
    """Sums of `Outcome.counts` of committed transactions."""
    positions: dict[Partition, int] = field(default_factory=dict)
    """Next offset of every owned partition."""
    ends: dict[Partition, int] = field(default_factory=dict)
    """Where owned partitions ended when last looked at; markers at the end do not count."""
    watermarks: dict[Partition, int] = field(default_factory=dict)
    """Of raw partitions that moved since their take-over, in ms since the epoch."""
    costs: Costs = field(default_factory=Costs)
    """CPU seconds of stages and rules, those of aborted transactions included."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def lags(self) -> dict[Partition, int]:
        """How many offsets of each owned partition are not committed yet; hold `lock`."""
        return {
            where: max(0, self.ends[where] - position)
            for where, position in sorted(self.positions.items())
            if where in self.ends
        }

    def commit(
        self,
        records: int,
        counts: Mapping[str, int],
        seconds: float,
        watermarks: Mapping[Partition, int],
    ) -> None:
        """A transaction was committed."""
        with self.lock:
            self.counts.update(counts)
            self.watermarks.update(watermarks)
        self.commits += 1
        self.committed += records
        self.commit_seconds += seconds
        self.last_commit = time.time()

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        with self.lock:
            lags = self.lags()
            return {
                "name": self.name,
                "group": self.group,
                "ready": self.ready,
                "partitions": [
                    {
                        "topic": where[0],
                        "partition": where[1],
                        "next": offset,
                        "lag": lags.get(where),
                    }
                    for where, offset in sorted(self.positions.items())
                ],
                "records": self.records,
                "batches": self.batches,
                "outputs": self.outputs,
                "commits": self.commits,
                "committed": self.committed,
                "aborts": self.aborts,
                "rebalances": self.rebalances,
                "rejoins": self.rejoins,
                "skipped": self.skipped,
                "rejected": self.rejected,
                "stage_seconds": round(self.stage_seconds, 6),
                "commit_seconds": round(self.commit_seconds, 6),
                "last_commit": self.last_commit,
                "restore": {
                    "runs": self.restore.runs,
                    "keys": self.restore.keys,
                    "records": self.restore.records,
                    "seconds": round(self.restore.seconds, 3),
                },
                "standby": asdict(self.standby),
                "lag": sum(lags.values()),
                "counts": dict(self.counts),
            }


COUNTERS: Mapping[str, str] = {
    "records": "Input records delivered, redelivered ones included.",
    "batches": "Batches delivered.",
    "outputs": "Records written to output topics, those of aborted transactions included.",
    "commits": "Transactions committed.",
    "committed": "Input records of committed transactions.",
    "aborts": "Transactions aborted.",
    "rebalances": "Assignments received.",
    "rejoins": "Consumers that were ended by their group and replaced.",
    "skipped": "Input offsets removed by retention before they were read.",
    "rejected": "Records that ended the process each time they were tried.",
    "stage_seconds": "Time spent in stages.",
    "commit_seconds": "Time spent in commits.",
}


class EngineCollector:
    """A Prometheus collector; costs nothing between scrapes."""

    def __init__(self, engines: Iterable[EngineStatistics]) -> None:
        self._engines = list(engines)

    def collect(self) -> Iterable[Metric]:
        """All metrics of all engines."""
        labels = ["engine"]
        for name, text in COUNTERS.items():
            family = CounterMetricFamily(f"northbound_engine_{name}", text, labels=labels)
            for engine in self._engines:
                family.add_metric([engine.name], getattr(engine, name))
            yield family
        ready = GaugeMetricFamily(
            "northbound_engine_ready", "1 when partitions are assigned and restored.", labels=labels
        )
        age = GaugeMetricFamily(
            "northbound_engine_commit_age_seconds", "Since the last commit.", labels=labels
        )
        restore = GaugeMetricFamily(
            "northbound_engine_restore_seconds", "Spent restoring stores.", labels=labels
        )
        standby = GaugeMetricFamily(
            "northbound_engine_standby_stores",
            "Copies of stores whose partitions others own; state: caught_up or behind.",
            labels=["engine", "state"],
        )
        lag = GaugeMetricFamily(
            "northbound_engine_lag_records",
            "Records behind the end of an owned partition.",
            labels=["engine", "topic", "partition"],
        )
        delay = GaugeMetricFamily(
            "northbound_engine_watermark_delay_seconds",
            "How far the watermark of a raw partition is behind the clock.",
            labels=["engine", "topic", "partition"],
        )
        counts = CounterMetricFamily(
            "northbound_outcomes", "What committed records led to.", labels=["engine", "outcome"]
        )
        stages = CounterMetricFamily(
            "northbound_stage_cpu_seconds",
            "CPU time of each stage of a sub-topology, without that of stages inside it.",
            labels=["engine", "stage", "component"],
        )
        rules = CounterMetricFamily(
            "northbound_rule_cpu_seconds",
            "CPU time of each rule's own condition or groups; a sample shared out.",
            labels=["engine", "rule", "title"],
        )
        for engine in self._engines:
            # Copies: another thread adds to them.
            for family, parts in ((stages, engine.costs.stages), (rules, engine.costs.rules)):
                for part, seconds in dict(parts).items():
                    family.add_metric([engine.name, *part], seconds)
            ready.add_metric([engine.name], float(engine.ready))
            restore.add_metric([engine.name], engine.restore.seconds)
            copies = engine.standby
            standby.add_metric([engine.name, "caught_up"], copies.caught_up)
            standby.add_metric([engine.name, "behind"], copies.stores - copies.caught_up)
            if engine.last_commit:
                age.add_metric([engine.name], time.time() - engine.last_commit)
            with engine.lock:
                for (topic, number), value in engine.lags().items():
                    lag.add_metric([engine.name, topic, str(number)], value)
                for (topic, number), mark in engine.watermarks.items():
                    behind = time.time() - mark / 1000
                    delay.add_metric([engine.name, topic, str(number)], behind)
                for outcome, value in engine.counts.items():
                    counts.add_metric([engine.name, outcome], value)
        yield from (ready, age, restore, standby, lag, delay, counts, stages, rules)
