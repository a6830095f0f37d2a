"""One job, one workload: the product's worker and another system side by side, compared."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl
from rich.console import Console

from app.broker.server import EmbeddedKafka
from bench import compare, workload
from bench.cluster import Cluster, Progress, wait
from bench.measure import Measurement, Watch, show, write
from bench.options import Options
from bench.systems import (
    PARTITIONS,
    SOURCE,
    TENANT,
    Job,
    Setup,
    System,
    running,
    start,
    stop,
)

DRAIN_S = 600.0
ALERTS_S = 20.0
DIFFERENCES = 50_000
"""Events of each partition that are looked through for examples when digests differ."""
console = Console(highlight=False, soft_wrap=True)


class Lines(Protocol):
    """A workload (bench/workload.py)."""

    def lines(self, number: int = 0) -> list[bytes]:
        """The lines of one pass."""

    def alerts(self, passes: int) -> set[tuple[str, int]]:
        """What there is to alert about."""


@dataclass(frozen=True)
class Load:
    """What a run is loaded with: `passes` over all lines of `workload`."""

    workload: Lines
    passes: int
    total: int
    dictionaries: Mapping[str, pl.DataFrame] = field(default_factory=dict)


def run(
    job: Job,
    load: Load,
    options: Options,
    systems: Sequence[System],
    more: Callable[["Bench", System], dict[str, float]] = lambda _bench, _system: {},
    limits_us: Mapping[str, float] | None = None,
) -> int:
    """The whole case: 0 when all systems told the same and none took more CPU an event than
    `limits_us` has for it, 1 when not.

    Each system runs `options.runs` times, in turn, and its best run counts; `more` measures what
    else is to be known of it. With fewer lines than W has, or other events than the case's own,
    nothing is written.
    """
    title = f"{job.name}, {load.total:,} records, exactly once"
    systems = [each for each in systems if each.name in (options.systems or (each.name,))]
    console.print(f"{title}, seed {options.seed}: {', '.join(each.name for each in systems)}")
    turns = list(systems) * options.runs
    Path("build").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{job.name}-", dir="build")).absolute()
    try:
        with EmbeddedKafka(scratch / "broker", listen="127.0.0.1:0", advertise="localhost:0") as on:
            bench = Bench(Cluster(on.bootstrap), scratch, load)
            drained = [bench.drain(system, str(turn)) for turn, system in enumerate(turns)]
            equal = bench.compare(turns)
            figures = {
                system.name: min(
                    drained[first :: len(systems)], key=lambda each: each["cpu_us_per_event"]
                )
                | more(bench, system)
                for first, system in enumerate(systems)
            }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    measurements = [
        Measurement(job.name, name, metric, round(value, 3))
        for name, values in figures.items()
        for metric, value in values.items()
    ]
    show(title, measurements)
    if len(systems) > 1:
        ours, theirs = (figures[system.name]["cpu_us_per_event"] for system in systems)
        names = " / ".join(system.name for system in systems)
        console.print(f"{names}, CPU per event: {ours / theirs:.2f}")
    if options.complete and not options.systems:
        write(measurements)
    for name, limit in (limits_us or {}).items():
        if name in figures and (found := figures[name]["cpu_us_per_event"]) > limit:
            console.print(
                f"[red]{name}: {found:.2f} us of CPU an event, at most {limit:g} asked for"
            )
            equal = False
    return 0 if equal else 1


class Bench:
    """One broker with everything that the runs share."""

    def __init__(self, cluster: Cluster, scratch: Path, load: Load) -> None:
        self.cluster = cluster
        self.load = load
        self._scratch = scratch
        self._expected = load.workload.alerts(load.passes)
        self._equal = True

    def drain(self, system: System, label: str) -> dict[str, float]:
        """Run a system over all records, start to end: its figures."""
        setup = self.setup(system, label)
        raw = setup.names.raw(SOURCE)
        system.prepare(setup)
        passes = (self.load.workload.lines(number) for number in range(self.load.passes))
        self.cluster.load(raw, passes, PARTITIONS)
        ends = self.cluster.ends(raw, PARTITIONS)
        total = sum(ends)
        process = start(system, setup)
        watch = Watch(process.pid)
        try:
            with Progress(setup.bootstrap, system.group(setup), raw, ends) as progress:
                for _ in wait(f"{system.name}: {total} records committed", DRAIN_S):
                    running(process, setup)
                    done = progress.done()
                    watch.sample(done)
                    if done >= total:
                        break
            self._caught_up(system, setup, process)
            seconds = time.monotonic() - watch.started
            alerts = self._alerts(system, setup, process)
        finally:
            cpu = stop(process, setup)
        self._check(system, alerts)
        steady = watch.steady_us_per_event()
        figures = {
            "cpu_us_per_event": cpu / total * 1e6,
            **({} if steady is None else {"cpu_us_per_event_steady": steady}),
            "events_per_s": total / seconds,
            "peak_rss_mb": watch.peak_kb / 1024,
        }
        said = ", ".join(f"{metric} {value:,.2f}" for metric, value in figures.items())
        console.print(f"{system.name}: {said}")
        return figures

    def _caught_up(self, system: System, setup: Setup, process: subprocess.Popen[bytes]) -> None:
        """Wait until the second sub-topology is done; only transactions' markers may be left."""
        group, topic = system.hop(setup)
        for _ in wait(f"{system.name}: {topic} read to its end", DRAIN_S):
            running(process, setup)
            ends = self.cluster.ends(topic, PARTITIONS)
            with Progress(setup.bootstrap, group, topic, ends) as progress:
                if sum(ends) - progress.done() <= PARTITIONS:
                    return

    def compare(self, turns: list[System]) -> bool:
        """Whether each run gave every event once, all the same ones, and the alerts due.

        The runs' topics are removed.
        """
        total = self.load.total
        setups = [self.setup(system, str(turn)) for turn, system in enumerate(turns)]
        topics = [setup.names.events(TENANT) for setup in setups]
        bootstrap = self.cluster.bootstrap
        digests = [compare.digest(bootstrap, topic, PARTITIONS) for topic in topics]
        for topic, found in zip(topics, digests, strict=True):
            console.print(f"{topic}: {found.records:,} events, digest {found.total:032x}")
            if found == digests[-1] and found.records == total:
                continue
            self._equal = False
            console.print(f"[red]expected {total:,} events equal to those of {topics[-1]}")
            for line in compare.differences(
                bootstrap, (topic, topics[-1]), PARTITIONS, DIFFERENCES
            ):
                console.print(line, markup=False)
        for setup in setups:
            self.cluster.remove(setup.prefix)
        return self._equal

    def setup(self, system: System, label: str) -> Setup:
        folder = self._scratch / f"{system.name}-{label}"
        folder.mkdir(exist_ok=True)
        return Setup(self.cluster.bootstrap, f"{folder.name}.", folder, self.load.dictionaries)

    def _alerts(
        self, system: System, setup: Setup, process: subprocess.Popen[bytes]
    ) -> list[tuple[str, int]]:
        """The alerts written; waits until there are as many as are due."""
        topic = setup.names.alerts(TENANT)
        found: list[tuple[str, int]] = []
        try:
            for _ in wait(f"{system.name}: {len(self._expected)} alerts", ALERTS_S):
                running(process, setup)
                said = [system.alert(value) for _, value in compare.read(setup.bootstrap, topic, 0)]
                found = [alert for alert in said if alert is not None]
                if len(found) >= len(self._expected):
                    break
        except TimeoutError as error:
            console.print(f"[red]{error}")
        return found

    def _check(self, system: System, alerts: list[tuple[str, int]]) -> None:
        """Each due alert once and no other."""
        if sorted(alerts) == sorted(self._expected):
            console.print(f"{system.name}: {len(alerts)} alerts, those that the workload holds")
            return
        self._equal = False
        missing = sorted(self._expected - set(alerts))[:5]
        extra = sorted(set(alerts) - self._expected)[:5]
        console.print(
            f"[red]{system.name}: {len(alerts)} alerts ({len(set(alerts))} distinct), "
            f"{len(self._expected)} are due; missing {missing}, not due {extra}"
        )


def base_ms(passes: int) -> int:
    """Event time starts so that the last pass ends shortly before now, on a window's edge.

    Kafka refuses records from the future and drops old ones where a topic has a retention.
    """
    now = int(time.time() * 1_000)
    return (now - passes * workload.SPAN_MS) // workload.WINDOW_MS * workload.WINDOW_MS
