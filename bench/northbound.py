"""What tenants cost: `make bench CASE=northbound`, with a bar for each figure.

- One more tenant of a format that is encoded already, as a share of a bare produce of the same
  bytes: what MORE more tenants add to a worker's CPU, against confluent-kafka's `produce` of the
  very records that one of them got, with the engine's own settings, in transactions.
- One more tenant of another format: what it adds beyond one more of the same.
- MANY tenants, each with a source and a topic of its own, on one pair of workers: all records
  arrive, each once.
- `northbound tenants add`: seconds of the command, its start included.

What it costs to push a feed by TCP and RELP beside rsyslog is the case `deliveries`. A worker's CPU
is that of its whole life; with what it takes to start being the same in all runs, differences are
free of it. Lines of workload W, so that a batch is what a busy worker has.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

from app.broker.server import EmbeddedKafka
from app.config import DEFAULT_PATH
from app.reading import read_batches
from app.runtime.settings import EngineSettings
from bench import workload
from bench.cluster import Cluster, Progress, wait
from bench.measure import Measurement, show, write
from bench.options import Options
from bench.side_by_side import base_ms
from bench.systems import PARTITIONS, SOURCE, Job, Northbound, Setup, running, start, stop

CASE = "northbound"
EVENTS = 600_000
MORE = 4
"""Tenants more of the same format: one alone would be lost in the noise."""
OTHERS = ("ecs-json", "cef", "leef", "rfc5424", "avro")
MANY = 200
ADDED = 5
SLICE = 20_000
"""Records of a transaction, as of a worker's batch."""
DRAIN_S = 600.0
SHARE_BAR, OTHER_BAR_US, ADD_BAR_S = 1.3, 3.0, 3.0
NO_JOB = Job(CASE, ours=lambda _: None, main="", repartition="", theirs=lambda _: ("", 0))
console = Console(highlight=False, soft_wrap=True)


class Tenants(Northbound):
    """The product's worker with these tenants of one source. No rules: their cost is another's."""

    def __init__(self, formats: Mapping[str, str]) -> None:
        super().__init__(NO_JOB)
        self.name = ", ".join(f"{count} x {form}" for form, count in _counted(formats).items())
        self.formats = formats

    def config(self, setup: Setup) -> dict[str, Any]:
        return super().config(setup) | {
            "tenants": {
                name: {
                    "sources": [SOURCE],
                    "feeds": ["events"],
                    "format": form,
                    "key": "user",
                    "partitions": PARTITIONS,
                }
                for name, form in self.formats.items()
            }
        }


class Many(Northbound):
    """A source and a tenant of one partition, MANY times, for a pair of workers."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(NO_JOB)
        self.name = f"{len(names)} tenants"
        self.tenants = names

    def config(self, setup: Setup) -> dict[str, Any]:
        config = super().config(setup)
        tenant = {"feeds": ["events"], "key": "user", "partitions": 1}
        return config | {
            "sources": {name: {"format": "qumulo", "partitions": 1} for name in self.tenants},
            "tenants": {name: {"sources": [name], **tenant} for name in self.tenants},
            "workers": {**config["workers"], "count": 2},
        }


def run(options: Options) -> int:
    """The whole case, or the parts that `options.systems` names: same, other, many, add. 0 when
    every bar is met and nothing is missing."""
    passes, lines = options.passes(EVENTS)
    made = workload.generate(options.seed, base_ms(passes), lines)
    chosen = options.systems or ("same", "other", "many", "add")
    figures: dict[tuple[str, str], float] = {}
    scratch = Path(tempfile.mkdtemp(prefix=f"{CASE}-", dir=_build())).absolute()
    try:
        with EmbeddedKafka(scratch / "broker", listen="127.0.0.1:0", advertise="localhost:0") as on:
            bench = Bench(Cluster(on.bootstrap), scratch, [made.lines(n) for n in range(passes)])
            if {"same", "other"} & set(chosen):
                figures |= bench.tenants(options.runs, other="other" in chosen)
            if "many" in chosen:
                figures |= bench.many()
            if "add" in chosen:
                figures |= bench.add()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    results = [
        Measurement(CASE, "northbound", f"{what}: {metric}", round(value, 3))
        for (what, metric), value in figures.items()
    ]
    show(f"{CASE}, {passes * lines:,} events", results)
    if options.complete and not options.systems:
        write(results)
    return _verdict(figures)


class Bench:
    """One broker, and the lines that each run gets."""

    def __init__(self, cluster: Cluster, scratch: Path, passes: Sequence[Sequence[bytes]]) -> None:
        self._cluster = cluster
        self._scratch = scratch
        self._passes = passes
        self._total = sum(map(len, passes))
        self._runs = 0

    def tenants(self, runs: int, *, other: bool) -> dict[tuple[str, str], float]:
        """What one more tenant costs, in the same format and in others; the best of so many runs
        of each counts."""
        systems = [Tenants({"t0": "ocsf-json"})]
        systems.append(Tenants({f"t{number}": "ocsf-json" for number in range(1 + MORE)}))
        if other:
            systems += [Tenants({"t0": "ocsf-json", "t1": form}) for form in OTHERS]
        cpu: dict[str, float] = {}
        bare = float("inf")
        for turn in range(runs):
            for system in systems:
                setup = self._setup(f"{turn}-{len(cpu)}-")
                found = self._drain(system, setup)
                cpu[system.name] = min(found, cpu.get(system.name, found))
                topics = [setup.names.events(name) for name in system.formats]
                self._check(setup, dict.fromkeys(topics, self._total))
                if system is systems[0]:
                    bare = min(bare, self._bare(setup, setup.names.events("t0")))
                self._cluster.remove(setup.prefix)
        alone, more, *others = (cpu[system.name] for system in systems)
        same = (more - alone) / MORE
        figures = {
            ("one tenant", "cpu_us_per_event"): alone,
            ("bare produce", "cpu_us_per_record"): bare,
            ("one more, same format", "cpu_us_per_event"): same,
            ("one more, same format", "share_of_bare_produce"): same / bare,
        }
        for form, found in zip(OTHERS if other else (), others, strict=True):
            figures[f"one more, {form}", "cpu_us_per_event"] = found - alone
            figures[f"one more, {form}", "more_than_same_us"] = found - alone - same
        return figures

    def many(self) -> dict[tuple[str, str], float]:
        """MANY tenants on one pair of workers, from their start to the last record."""
        names = [f"t{number:03}" for number in range(MANY)]
        system, setup = Many(names), self._setup("many-")
        system.prepare(setup)
        lines = [line for each in self._passes for line in each]
        wanted = {}
        for number, name in enumerate(names):
            part = lines[number::MANY]
            self._cluster.load(setup.names.raw(name), [part], 1)
            wanted[setup.names.events(name)] = len(part)
        began = time.monotonic()
        workers = [start(system, setup) for _ in range(2)]
        try:
            raw = [TopicPartition(setup.names.raw(name), 0) for name in names]
            for _ in self._until(system, setup, raw):
                for each in workers:
                    running(each, setup)
            seconds = time.monotonic() - began
        finally:
            cpu = sum(stop(each, setup) for each in workers)
        self._check(setup, wanted)
        self._cluster.remove(setup.prefix)
        return {
            (system.name, "cpu_us_per_event"): cpu / self._total * 1e6,
            (system.name, "events_per_s"): self._total / seconds,
        }

    def add(self) -> dict[tuple[str, str], float]:
        """`northbound tenants add`, ADDED times, as someone types it."""
        system, setup = Tenants({"t0": "ocsf-json"}), self._setup("add-")
        system.prepare(setup)
        spent = []
        for number in range(ADDED):
            call = ["tenants", "add", f"new-{number}", "-c", str(setup.folder / DEFAULT_PATH)]
            began = time.monotonic()
            command = [sys.executable, "-c", "from app.cli import main; main()", *call]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            spent.append(time.monotonic() - began)
            if done.returncode:
                raise RuntimeError(f"tenants add ended with {done.returncode}: {done.stderr}")
        self._cluster.remove(setup.prefix)
        return {
            ("tenants add", "longest_s"): max(spent),
            ("tenants add", "median_s"): sorted(spent)[ADDED // 2],
        }

    def _setup(self, label: str) -> Setup:
        self._runs += 1
        folder = self._scratch / f"{self._runs}-{label}"
        folder.mkdir()
        return Setup(self._cluster.bootstrap, f"{CASE}-{self._runs}-{label}", folder, {})

    def _drain(self, system: Tenants, setup: Setup) -> float:
        """CPU an event, in us, of a worker that reads all lines."""
        system.prepare(setup)
        raw = setup.names.raw(SOURCE)
        self._cluster.load(raw, self._passes, PARTITIONS)
        ends = self._cluster.ends(raw, PARTITIONS)
        process = start(system, setup)
        try:
            with Progress(setup.bootstrap, system.group(setup), raw, ends) as progress:
                for _ in wait(f"{system.name}: all records committed", DRAIN_S):
                    running(process, setup)
                    if progress.done() >= self._total:
                        break
        finally:
            cpu = stop(process, setup)
        found = cpu / self._total * 1e6
        console.print(f"{system.name}: {found:.2f} us of CPU an event")
        return found

    def _until(self, system: Many, setup: Setup, raw: list[TopicPartition]) -> Iterator[None]:
        """Until the group has committed every line of these partitions."""
        consumer = Consumer(
            {"bootstrap.servers": setup.bootstrap, "group.id": system.group(setup), "log_level": 2}
        )
        try:
            for _ in wait(f"{system.name}: all records committed", DRAIN_S):
                found = consumer.committed(raw, timeout=30)
                if sum(max(0, each.offset) for each in found) >= self._total:
                    return
                yield
        finally:
            consumer.close()

    def _bare(self, setup: Setup, topic: str) -> float:
        """CPU a record, in us, of producing a tenant's records once more, keys and partitions too,
        compressed and in transactions as a worker does it, and nothing else. They go to the same
        topic, whose records have been counted before."""
        client = {"bootstrap.servers": setup.bootstrap}
        values, keys, places = [], [], []
        for messages in read_batches(client, [topic]):
            values += [message.value() for message in messages]
            keys += [message.key() for message in messages]
            places += [message.partition() for message in messages]
        name = f"{setup.prefix}bare"
        settings = EngineSettings(
            name=name, group=name, topics=(topic,), instance=name, client=client
        )
        producer = Producer({**settings.producer_config(), "log_level": 2})
        producer.init_transactions(60)
        target = setup.names.events("t0")
        before = time.process_time()
        for at in range(0, len(values), SLICE):
            part = slice(at, at + SLICE)
            producer.begin_transaction()
            made = map(producer.produce, repeat(target), values[part], keys[part], places[part])
            deque(made, maxlen=0)
            producer.flush(60)
            producer.commit_transaction(60)
        used = time.process_time() - before
        return used / len(values) * 1e6

    def _check(self, setup: Setup, wanted: Mapping[str, int]) -> None:
        """Raises RuntimeError unless each topic has as many different records as it should."""
        client = {"bootstrap.servers": setup.bootstrap}
        found: Counter[str] = Counter()
        for messages in read_batches(client, list(wanted)):
            found.update(message.topic() for message in messages)
        wrong = {topic: found[topic] for topic, count in wanted.items() if found[topic] != count}
        if wrong:
            raise RuntimeError(f"records that are missing or too many: {wrong}, wanted {wanted}")


def _counted(formats: Mapping[str, str]) -> Counter[str]:
    return Counter(formats.values())


def _build() -> str:
    Path("build").mkdir(exist_ok=True)
    return "build"


def _verdict(figures: Mapping[tuple[str, str], float]) -> int:
    bars = {"share_of_bare_produce": SHARE_BAR, "more_than_same_us": OTHER_BAR_US}
    bars["longest_s"] = ADD_BAR_S
    failed = False
    for (system, metric), value in figures.items():
        if metric in bars:
            # A share below nothing is noise: there were too few events to tell.
            met = value <= bars[metric] and (value > 0 or metric != "share_of_bare_produce")
            failed |= not met
            console.print(
                f"{'met   ' if met else 'MISSED'} {system}: {metric} {value:.2f} "
                f"(bar {bars[metric]:g})"
            )
    console.print("Forwarders beside rsyslog: make bench CASE=deliveries")
    return int(failed)
