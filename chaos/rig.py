"""A deployment under test: real brokers, agent, workers and senders of a generated northbound.yaml.

An experiment gets it running under load, does its faults, and the rig settles and closes the books.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import orjson
import yaml
from confluent_kafka import Producer, TopicPartition

from app.broker.errors import BrokerError
from app.broker.server import EmbeddedKafka
from app.config import Config, load
from app.deployment import Deployment
from app.lag import lags
from app.reading import ReadingError, open_reader, read
from chaos.books import Row, close, difference, without
from chaos.observer import Fault, Observer
from chaos.process import HERE, ROOT, Process, Worker
from chaos.setup import Setup, configuration
from chaos.truth import Before, Truth, digest
from schemas.codec import header

DAY_MS = 86_400_000
"""Longer than windows and mutes of all rules: after a tick so far ahead all groups have ended, and
stores hold the same however records were cut into batches."""
CALM = 3
"""Looks in a row at which nothing may be left to work off."""


class ChaosError(RuntimeError):
    """The experiment did not come to its end; the message says what was waited for."""


class Rig:
    """One run in a folder of its own. `deadline`: of the monotonic clock."""

    def __init__(self, folder: Path, case: str, seed: int, setup: Setup, deadline: float) -> None:
        self.folder = folder
        self.setup = setup
        self.seed = seed
        self.random = Random(f"{seed}/{case}")
        self.row = Row(case, seed)
        self.claims: list[tuple[str, bool]] = []
        self.measured: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.workers: list[Worker] = []
        self.senders: list[Process] = []
        self.deadline = deadline
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        setup.prepare(folder)
        self.path = folder / "northbound.yaml"
        self.path.write_text(yaml.safe_dump(configuration(setup), sort_keys=False))
        self.config: Config = load(self.path)
        self.deployment = Deployment(self.path, self.config, self.say, ingest=False, workers=False)
        argv = [str(HERE / "northbound"), "ingest", "--config", str(self.path)]
        self.environment = {
            name: value.format(folder=folder.absolute())
            for name, value in setup.environment.items()
        }
        own = self.environment if setup.agent_too else {}
        self.agent = Process("agent", argv, folder / "ingest.log", dict(own))
        self.before: Before | None = None
        self.raw: set[int] = set()
        """Digests of the raw records, once they were read back."""
        self._observer: Observer | None = None
        self._supervising = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._paused = False
        self._days = 0
        self._place = ExitStack()

    # -- a run ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Everything up and under load."""
        self._place.enter_context(self.setup.place(self.folder))
        self.deployment.start()
        self._supervisor.start()
        self.agent.start()
        for _ in range(self.setup.workers):
            self.add_worker()
        self.until(self.agent_ready, "the ingest agent is ready")
        for worker in self.workers:
            self.until(worker.ready, f"{worker.name} is ready")
        tenant = next(iter(self.config.tenants))
        partitions = range(self.config.tenants[tenant].partitions)
        self._observer = Observer(self.client, self.config.names.events(tenant), partitions)
        self._observer.start()
        for sender in self.setup.senders:
            self.add_sender(**sender)
        self.until(lambda: self.events > 500, "the first events")

    def settle(self) -> None:
        """Senders, agent and workers to their ends: everything that is in Kafka is worked off."""
        self.finish_senders()
        self.finish_agent()
        self.age()
        for worker in self.workers:
            worker.stop()

    def verify(self) -> Row:
        """Read everything back and compare."""
        if self._observer is not None:
            self._observer.finish()
            if any(fault.recovered for fault in self.faults):
                self.row.recovery_s = round(self._observer.recovery(self.faults), 2)
        truth = Truth(self.config)
        with self.setup.around():
            read, expected = truth.read(), truth.expected(self.before)
        if self.setup.unsaid:
            for books in (read, expected):
                books.finals = {
                    tenant: without(finals, self.setup.unsaid)
                    for tenant, finals in books.finals.items()
                }
        close(self.row, read, expected)
        if not self.row.alerts_equal:
            self.claim(f"finals: {difference(read.finals, expected.finals)}", ok=False)
        finals = sum(each.total() for each in expected.finals.values())
        self.measured["finals"] = finals
        self.claim(f"the run has final alerts ({finals})", ok=finals > 0)
        self.claim(
            f"stores equal the truth ({len(read.store)} and {len(expected.store)} entries)",
            ok=read.store == expected.store,
        )
        self.raw = set(read.raw.values())
        self._gaps(self.raw, len(read.raw))
        return self.row

    def close(self, *, keep: bool) -> None:
        """End everything; remove the folder unless it is to be kept."""
        self._supervising.set()
        for process in (*self.senders, self.agent, *self.workers):
            process.end()
        self.deployment.stop()
        self._place.close()
        if not keep:
            for name in ("data", "state"):
                shutil.rmtree(self.folder / name, ignore_errors=True)

    def claim(self, text: str, *, ok: bool) -> None:
        """Something that this experiment says beyond the row; a false one fails it."""
        self.claims.append((text, ok))
        if not ok:
            self.say(f"FALSE: {text}")

    def say(self, text: str) -> None:
        """A line in the run's log."""
        with (self.folder / "chaos.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    # -- parts ---------------------------------------------------------------------------------

    def add_worker(self, module: str | None = None) -> Worker:
        """One more worker."""
        number = len(self.workers)
        log = self.folder / f"worker-{number}.log"
        worker = Worker(f"worker {number}", self.path, log, module or self.setup.module)
        worker.env |= self.environment
        worker.start()
        self.workers.append(worker)
        return worker

    def add_sender(
        self,
        rate: int = 1_200,
        connections: int = 6,
        first: int = 0,
        source: int = 0,
        tree: str = "",
    ) -> Process:
        """Connections to one listener."""
        options = {
            "seed": self.seed,
            "port": self.config.listeners[source].listen.rpartition(":")[2],
            "protocol": self.config.listeners[source].protocol,
            "rate": max(connections, int(rate * self.setup.scale)),
            "connections": connections,
            "first": first,
            "tree": tree or "data",
            "out": self.folder,
        }
        argv = [str(HERE / "python"), "-m", "chaos.send"]
        argv += [f"--{key}={value}" for key, value in options.items()]
        sender = Process(f"sender {first}", argv, self.folder / f"sender-{first}.log")
        sender.start()
        self.senders.append(sender)
        return sender

    @property
    def kafka(self) -> EmbeddedKafka:
        """The embedded brokers."""
        if self.deployment.kafka is None:
            raise ChaosError("the brokers have not started")
        return self.deployment.kafka

    @property
    def client(self) -> dict[str, Any]:
        """How to reach them from inside."""
        return self.config.client()

    @property
    def observer(self) -> Observer:
        """The consumer beside the run."""
        if self._observer is None:
            raise ChaosError("the run has not started")
        return self._observer

    @property
    def events(self) -> int:
        """Events that the observer has read."""
        return self.observer.count

    def matches(self, schema: str) -> int:
        """Committed records of `matches` with a schema so far."""
        found = read(self.client, [self.config.names.matches])
        return sum((message.value() or b"").startswith(header(schema)) for message in found)

    def agent_ready(self) -> bool:
        """Whether the agent gets lines through to Kafka."""
        with suppress(OSError, ValueError):
            return bool(self.status()["ready"]) and self.agent.pid == self.status()["pid"]
        return False

    def status(self) -> dict[str, Any]:
        """The agent's status file."""
        return dict(orjson.loads((self.config.state / "ingest.json").read_bytes()))

    def fault(self, what: str, *, recovered: bool = True) -> Fault:
        """Note that something is done to the deployment now."""
        self.say(what)
        self.faults.append(Fault(what, time.time(), recovered))
        return self.faults[-1]

    def tick(self, ahead_ms: int = 0) -> None:
        """A tick of the rig's own on every raw partition that holds records."""
        producer = Producer({**self.client, "acks": "all", "log_level": 0})
        consumer = open_reader(self.client)
        now = time.time_ns() // 1_000_000 + ahead_ms
        for name, source in self.config.sources.items():
            topic = self.config.names.raw(name)
            for number in range(source.partitions):
                at = TopicPartition(topic, number)
                _, high = consumer.get_watermark_offsets(at, timeout=30)
                if high > 0:
                    producer.produce(topic, None, b"tick", number, timestamp=now)
        consumer.close()
        if producer.flush(30):
            raise ChaosError("the last ticks were not written")

    def age(self) -> None:
        """Two days pass, and all is worked off: everything that was open has ended.

        Two, as an entry of a list that has ended when it is written goes with the next tick.
        """
        for _ in range(2):
            self._days += 1
            self.tick(self._days * DAY_MS)
            self.drained()

    # -- waiting -------------------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
        """The condition's first true value. Raises ChaosError at the deadline."""
        limit = min(time.monotonic() + seconds, self.deadline)
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > limit:
                raise ChaosError(f"not seen in time: {what}")
            time.sleep(0.05)

    def wait(self, least: float, most: float | None = None) -> None:
        """Let it run for a while: seconds between the two, as the seed says."""
        seconds = least if most is None else self.random.uniform(least, most)
        if time.monotonic() + seconds > self.deadline:
            raise ChaosError("the case's time is up")
        time.sleep(seconds)

    def flowing(self, what: str = "events flow again", seconds: float = 90.0) -> None:
        """Wait until events come that were received after this call."""
        now = time.time()

        def fresh() -> bool:
            arrivals = list(self.observer.arrivals.values())
            return bool(arrivals) and all(
                each.logged and max(each.logged[-50:]) > now for each in arrivals
            )

        self.until(fresh, what, seconds)

    def finish_senders(self) -> None:
        """Senders end; what they sent is with the agent."""
        for sender in self.senders:
            sender.stop(60.0)
        reports = [json.loads(each.read_text()) for each in self.folder.glob("sender-*.json")]
        self.measured["resets"] = sum(each["resets"] for each in reports)
        self.measured["blocked_s"] = round(max(each["blocked"] for each in reports), 1)
        self.measured["lines"] = sum(each["sent"] for each in reports)

    def finish_agent(self) -> None:
        """The agent writes what it holds and ends."""
        self.until(self.agent_ready, "the agent is ready to be stopped")
        status = self.agent.stop(60.0)
        self.claim(f"the agent ends with status 0 ({status})", ok=status == 0)

    def drained(self, seconds: float = 120.0, left: int = 0) -> None:
        """Wait until no more records than these are left in Kafka to work off."""
        calm = 0

        def done() -> bool:
            nonlocal calm
            try:
                levels = lags(self.config)
            except ReadingError:
                return False
            behind = sum(level.lag or 0 for level in levels.values())
            calm = calm + 1 if behind <= left else 0
            return calm >= CALM

        self.until(done, "all records are worked off", seconds)

    @contextmanager
    def unsupervised(self) -> Iterator[None]:
        """Nothing is started again meanwhile."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _supervise(self) -> None:
        """As `northbound up` does: at once after a kill, after a growing pause otherwise."""
        while not self._supervising.wait(0.2):
            for process in (self.agent, *self.workers):
                if not self._paused and process.supervise():
                    self.say(f"{process.name} ended with {process.statuses[-1]}; started again")

    def start_brokers(self) -> None:
        """Start the brokers that do not run."""
        try:
            self.kafka.start()
        except BrokerError as error:
            raise ChaosError(f"brokers: {error}") from error

    def _gaps(self, raw: set[int], records: int) -> None:
        """Lines that a sender wrote and Kafka never got, and lines that it got twice: measured."""
        lines = set()
        for file in self.folder.glob("input-*.log"):
            lines |= {digest(line) for line in file.read_bytes().split(b"\n") if line}
        self.measured["gap"] = len(lines - raw)
        self.measured["resent"] = records - len(raw)


__all__ = ["ROOT", "ChaosError", "Rig"]
