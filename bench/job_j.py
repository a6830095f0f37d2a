"""Job J on workload W: the product's worker and Kafka Streams, both exactly once, compared."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from rich.console import Console

from app.broker.server import EmbeddedKafka
from bench import alert_latency, compare, latency, workload
from bench.cluster import Cluster, Progress, wait
from bench.measure import Measurement, Watch, show, write
from bench.systems import (
    PARTITIONS,
    SOURCE,
    TENANT,
    KafkaStreams,
    Northbound,
    Setup,
    System,
    running,
    start,
    stop,
)

CASE = "job-j"
PASSES = 3
RULES = Path(__file__).with_name("rules")
DRAIN_S = 300.0
ALERTS_S = 20.0
DIFFERENCES = 50_000
"""Events of each partition that are looked through for examples when digests differ."""
console = Console(highlight=False, soft_wrap=True)


def run(seed: int, runs: int, lines: int) -> int:
    """The whole case: 0 when both systems told the same, 1 when not.

    Each system runs `runs` times, in turn, and its best run counts. With fewer lines than W has,
    nothing is written.
    """
    console.print(f"job J, seed {seed}: {PASSES * lines:,} records, two systems, exactly once")
    systems: list[System] = [Northbound(), KafkaStreams()]
    turns = systems * runs
    Path("build").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="job-j-", dir="build")).absolute()
    try:
        with EmbeddedKafka(scratch / "broker", listen="127.0.0.1:0", advertise="localhost:0") as on:
            bench = _Bench(Cluster(on.bootstrap), scratch, seed, lines)
            drained = [bench.drain(system, str(turn)) for turn, system in enumerate(turns)]
            equal = bench.compare(turns)
            figures = {
                system.name: min(drained[first::2], key=lambda each: each["cpu_us_per_event"])
                | bench.latency(system)
                for first, system in enumerate(systems)
            }
            figures[systems[0].name] |= bench.alert_latency()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    measurements = [
        Measurement(CASE, name, metric, round(value, 3))
        for name, values in figures.items()
        for metric, value in values.items()
    ]
    show(f"job J, {PASSES * lines:,} records, exactly once", measurements)
    ours, theirs = (figures[system.name]["cpu_us_per_event"] for system in systems)
    console.print(f"northbound / kafka-streams-eos, CPU per event: {ours / theirs:.2f}")
    if lines == workload.LINES:
        write(measurements)
    return 0 if equal else 1


class _Bench:
    """One broker with everything that the runs share."""

    def __init__(self, cluster: Cluster, scratch: Path, seed: int, lines: int) -> None:
        self._cluster = cluster
        self._scratch = scratch
        self._lines = lines
        self._workload = workload.generate(seed, _base_ms(), lines)
        self._expected = self._workload.alerts(PASSES)
        self._dictionaries = {
            "assets": workload.assets(seed),
            "departments": workload.departments(seed),
            "extensions": workload.extensions(),
        }
        self._equal = True

    def drain(self, system: System, label: str) -> dict[str, float]:
        """Run a system over all records, start to end: its figures."""
        setup = self._setup(system, label)
        raw = setup.names.raw(SOURCE)
        system.prepare(setup)
        passes = (self._workload.lines(number) for number in range(PASSES))
        self._cluster.load(raw, passes, PARTITIONS)
        ends = self._cluster.ends(raw, PARTITIONS)
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

    def compare(self, turns: list[System]) -> bool:
        """Whether each run gave every event once, all the same ones, and the alerts due.

        The runs' topics are removed.
        """
        total = PASSES * self._lines
        setups = [self._setup(system, str(turn)) for turn, system in enumerate(turns)]
        topics = [setup.names.events(TENANT) for setup in setups]
        bootstrap = self._cluster.bootstrap
        digests = [compare.digest(bootstrap, topic, PARTITIONS) for topic in topics]
        for topic, found in zip(topics, digests, strict=True):
            console.print(f"{topic}: {found.count:,} events, digest {found.total:032x}")
            if found == digests[-1] and found.count == total:
                continue
            self._equal = False
            console.print(f"[red]expected {total:,} events equal to those of {topics[-1]}")
            for line in compare.differences(
                bootstrap, (topic, topics[-1]), PARTITIONS, DIFFERENCES
            ):
                console.print(line, markup=False)
        for setup in setups:
            self._cluster.remove(setup.prefix)
        return self._equal

    def latency(self, system: System) -> dict[str, float]:
        """Median and 99th percentile at a steady rate."""
        setup = self._setup(system, "latency")
        p50, p99 = latency.measure(system, setup, self._workload.lines())
        self._cluster.remove(setup.prefix)
        return {"p50_ms": p50, "p99_ms": p99}

    def alert_latency(self) -> dict[str, float]:
        """The same of the product's provisional alerts."""
        system = Northbound(RULES)
        setup = self._setup(system, "alert-latency")
        p50, p99 = alert_latency.measure(system, setup, self._workload.lines())
        self._cluster.remove(setup.prefix)
        return {"alert_p50_ms": p50, "alert_p99_ms": p99}

    def _setup(self, system: System, label: str) -> Setup:
        folder = self._scratch / f"{system.name}-{label}"
        folder.mkdir(exist_ok=True)
        return Setup(self._cluster.bootstrap, f"{folder.name}.", folder, self._dictionaries)

    def _alerts(
        self, system: System, setup: Setup, process: subprocess.Popen[bytes]
    ) -> list[tuple[str, int]]:
        """The alerts written; waits until there are as many as are due."""
        topic = setup.names.alerts(TENANT)
        found: list[tuple[str, int]] = []
        try:
            for _ in wait(f"{system.name}: {len(self._expected)} alerts", ALERTS_S):
                running(process, setup)
                found = [
                    system.alert(value) for _, value in compare.read(setup.bootstrap, topic, 0)
                ]
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


def _base_ms() -> int:
    """Event time starts so that the last pass ends shortly before now, on a window's edge.

    Kafka refuses records from the future and drops old ones where a topic has a retention.
    """
    now = int(time.time() * 1_000)
    return (now - PASSES * workload.SPAN_MS) // workload.WINDOW_MS * workload.WINDOW_MS
