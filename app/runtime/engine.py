"""Runs one sub-topology, or plain callbacks, exactly once: poll, deliver, barrier, commit.

Nothing is polled while a batch is in work, so a rebalance always meets a moment at which all that
was delivered is done and can be committed. Outputs, changelogs and the next input offsets go into
one transaction. Knows Kafka and not Faust; all methods but `process`, `store`, `post` and `replace`
are for one thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from app.runtime.aborts import Aborts
from app.runtime.assignment import Assignment
from app.runtime.batch import from_positions, ranges, union
from app.runtime.clients import Clients, KafkaClients
from app.runtime.commits import Commits
from app.runtime.delivery import Delivery
from app.runtime.errors import EngineError, MemberEnded, RecordRefusedError, TransactionAborted
from app.runtime.inflight import InFlight
from app.runtime.intake import Intake
from app.runtime.parcel import Parcel
from app.runtime.rhythm import Rhythm
from app.runtime.settings import EngineSettings
from app.runtime.stage import Stage
from app.runtime.statistics import EngineStatistics
from app.runtime.watchdog import Watchdog
from topology.costs import Costs
from topology.records import Batch, KeyValueStore, Outcome, SubTopology
from topology.topics import Partition

log = logging.getLogger("northbound.runtime")


class Engine:
    """One consumer group's member. See `turn` for the cycle."""

    def __init__(
        self,
        settings: EngineSettings,
        sub_topology: SubTopology | None = None,
        *,
        watchdog: Watchdog,
        clients: Clients | None = None,
    ) -> None:
        clients = clients or KafkaClients()
        self.settings = settings
        # Polars works in the calling thread where it has one thread only, as workers set it.
        costs = Costs(time.thread_time)
        self.statistics = EngineStatistics(settings.name, settings.group, costs=costs)
        self.kafka_thread = ThreadPoolExecutor(1, f"{settings.name}-kafka")
        self.stage_thread = ThreadPoolExecutor(1, f"{settings.name}-stage")
        self._pulse = watchdog.watch(f"engine {settings.name}", settings.start_timeout * 2)
        self._stage = Stage(settings, sub_topology, self.statistics)
        self._intake = Intake(settings, clients, watchdog, self.statistics)
        self._assignment = Assignment(settings, sub_topology, clients, watchdog, self.statistics)
        mark = settings.state and settings.state / f"{settings.instance}.inflight"
        self._in_flight = InFlight(mark)
        self._rhythm = Rhythm(settings.commit_interval)
        self._commits = Commits(
            settings,
            clients,
            watchdog,
            self._stage,
            self._assignment,
            self._in_flight,
            self._rhythm,
            self.statistics,
        )
        self._backlog: deque[Delivery] = deque()
        self._stopping = False
        self._aborts = Aborts(settings.stall_timeout)
        self._delivered = 0.0

    @property
    def sub_topology(self) -> SubTopology | None:
        """The one at work."""
        return self._stage.sub_topology

    def start(self) -> None:
        """Connect, end what a predecessor left open, and join the group."""
        self._commits.start()
        self._intake.open(assigned=self._assigned, revoked=self._revoked, lost=self._lost)
        self._assignment.standby.start()
        self._pulse.limit = self.settings.stall_timeout
        self._pulse.beat("joining the group")

    def turn(self, done: Sequence[Delivery] = ()) -> list[Delivery]:
        """Take what is done into the transaction, commit if due, and return what is next.

        What it returned last must be passed as `done`, all of it, or `fail` be called. Raises
        EngineError when the process must end.
        """
        try:
            self._accept(done)
            if self._stage.replaced:
                self._exchange()
            # With suspects, each part has a transaction of its own, so that a refusal points at it.
            now = time.monotonic()
            if self._commits.pending and (now >= self._rhythm.due or self._suspicious()):
                self._commit()
            if not self._backlog:
                self._poll()
        except TransactionAborted as reason:
            self._recover(reason)
        except MemberEnded as reason:
            self._rejoin(reason)
        except RecordRefusedError:
            work = [ranges(delivery.batch) for delivery in done]
            self._in_flight.begin(union([self._assignment.uncommitted(), *work]))
            raise
        except EngineError:
            self._in_flight.end()  # Kafka's or the disk's fault, and no record's
            raise
        return self._deliver()

    def stop(self, done: Sequence[Delivery] = ()) -> None:
        """Commit what is done and leave."""
        self._stopping = True
        self._assignment.standby.stop()  # here: time after leaving counts against the session
        try:
            self._accept(done)
            if self._commits.pending:
                self._commit()
        except TransactionAborted as reason:
            log.warning("Last transaction aborted. engine=%s reason=%s", self.settings.name, reason)
            self._in_flight.end()
            self._abort()
        self._intake.close()
        self._commits.close(EngineError("the worker has stopped"))
        self._pulse.end()

    def fail(self, reason: BaseException | None = None) -> None:
        """A stage or an agent raised: commit nothing of its batch. The process is to end.

        A `reason` that is Kafka's or the disk's, as an EngineError is, counts for no record.
        """
        self._stopping = True
        if isinstance(reason, EngineError) and not isinstance(reason, RecordRefusedError):
            self._in_flight.end()
        try:
            self._abort()
        except EngineError as error:
            log.error("Abort failed. engine=%s reason=%s", self.settings.name, error)  # noqa: TRY400
        self._assignment.standby.stop()
        self._commits.close(EngineError("the worker ended before the record was committed"))
        self._pulse.end()

    def run(self, stop: threading.Event) -> None:
        """All of it in the calling thread until `stop` is set; for use without Faust."""
        done: list[Delivery] = []
        try:
            self.start()
            while not stop.is_set():
                done = self.turn(done)
                for delivery in done:
                    delivery.work()
            self.stop(done)
        except Exception as error:
            self.fail(error)
            raise

    def process(self, batch: Batch, *, rejected: bool = False) -> Outcome:
        """Run the sub-topology on a batch, or have it reject one; for the stage thread, one call at
        a time."""
        return self._stage.process(batch, rejected=rejected)

    def store(self, name: str, partition: int) -> KeyValueStore:
        """A store's partition, for plain agents."""
        return self._assignment.store(name, partition)

    def replace(self, sub_topology: SubTopology) -> None:
        """Go on with another sub-topology of the same stores, between two batches. For any thread.

        It takes over what was committed, as it would after a restart.
        """
        self._stage.replace(sub_topology)

    def post(self, parcel: Parcel) -> None:
        """Send a record with the next transaction. For any thread."""
        self._commits.post(parcel)

    def send(self, parcel: Parcel) -> None:
        """Send a record with the transaction of the batch that is in work."""
        self._commits.send(parcel)

    def serve(self) -> bool:
        """Answer senders within a batch, also when the process is to end; True when none waits."""
        return self._commits.serve()

    def _accept(self, done: Sequence[Delivery]) -> None:
        self._pulse.beat("taking over what was done")
        self._commits.accept(done)
        if done:
            self._rhythm.worked(time.monotonic() - self._delivered)
            self._in_flight.end()

    def _exchange(self) -> None:
        if self._commits.pending:
            self._commit()
        self._assignment.exchange(self._stage.exchange(), self._pulse)

    def _commit(self, *, leaving: bool = False) -> None:
        self._pulse.beat("committing")
        self._commits.commit(self._intake.consumer, leaving=leaving)
        self._aborts.over()

    def _poll(self) -> None:
        """Fetch the next batches into the backlog."""
        self._pulse.beat("polling")
        batches = self._intake.poll(
            idle=not self._commits.pending, until=self._rhythm.gather_until()
        )
        if batches is None:
            if self._assignment.next:
                self._assignment.seek(self._intake.consumer)
            return
        for batch in batches:
            kept = from_positions(batch, self._assignment.next)
            if kept is not None:
                for part, rejected in self._in_flight.pieces(kept):
                    self._backlog.append(Delivery(self, part, rejected=rejected))
        self._rhythm.polled(self._intake.left(self._assignment.next) - sum(map(len, batches)))

    def _suspicious(self) -> bool:
        return self._in_flight.suspects_among(self._assignment.next)

    def _deliver(self) -> list[Delivery]:
        """What is in work next: all that was polled, or one part when some of it is suspect."""
        deliveries = list(self._backlog)
        if self._suspicious():
            deliveries = deliveries[:1]
        for _ in deliveries:
            self._backlog.popleft()
        if deliveries:
            spans = union(ranges(delivery.batch) for delivery in deliveries)
            self.statistics.records += sum(map(len, deliveries))
            self.statistics.batches += len(deliveries)
            self._in_flight.begin(spans)
            self._pulse.beat(f"working on {len(deliveries)} batches, {list(spans.items())[:4]}")
            self._delivered = time.monotonic()
        return deliveries

    def _recover(self, reason: TransactionAborted) -> None:
        """Abort, forget what was not committed, and go on from the last commit."""
        log.warning("Transaction aborted. engine=%s reason=%s", self.settings.name, reason)
        self._aborts.count(reason)
        self._pulse.beat("aborting")
        self._in_flight.end()
        if partitions := self._abort():
            intake = self._intake
            self._assignment.take(intake.consumer, partitions, self._pulse, intake.cut_off())
        self._commits.decide()

    def _rejoin(self, reason: MemberEnded) -> None:
        """Abort, and join the group again from the last commit.

        A member that lost its session is ended when it returns: its name (static membership) has a
        newer member id by then, its own. If another process has the name, that one has fenced the
        producer too, before it joined, and the abort or the next transaction ends this process.
        """
        self._pulse.beat("joining the group again")
        self._in_flight.end()
        self._abort()
        self._intake.rejoin(reason)

    def _abort(self) -> list[Partition]:
        """Abort, and own nothing any more; returns what was owned."""
        self._backlog.clear()
        return self._commits.abort()

    def _assigned(self, partitions: list[Partition]) -> None:
        if self._assignment.next or self._commits.open:
            # Without a revocation before it: only an abort is right, whoever owns them now.
            self._abort()
        self.statistics.rebalances += 1
        started = time.monotonic()
        self._assignment.take(self._intake.consumer, partitions, self._pulse)
        log.info(
            "Partitions assigned. engine=%s seconds=%.2f partitions=%s",
            self.settings.name,
            time.monotonic() - started,
            sorted(f"{topic}[{number}]" for topic, number in partitions),
        )

    def _revoked(self, partitions: list[Partition]) -> None:
        log.info("Partitions revoked. engine=%s count=%d", self.settings.name, len(partitions))
        leaving = bool(self._assignment.stores) and not self._stopping
        if self._commits.pending or leaving:
            try:
                self._commit(leaving=leaving)
            except TransactionAborted as reason:
                log.warning("Aborted at revocation. engine=%s: %s", self.settings.name, reason)
                self._abort()
                self._commits.decide()
        self._assignment.drop()

    def _lost(self, partitions: list[Partition]) -> None:
        log.warning("Partitions lost. engine=%s count=%d", self.settings.name, len(partitions))
        self._abort()
