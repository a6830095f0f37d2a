"""Runs one sub-topology, or plain callbacks, exactly once: poll, deliver, barrier, commit.

Nothing is polled while a batch is in work, so a rebalance always meets a moment at which all that
was delivered is done and can be committed. Outputs, changelogs and the next input offsets go into
one transaction. Knows Kafka and not Faust; all methods but `process`, `store`, `post` and `replace`
are for one thread.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import polars as pl

from app.runtime.assignment import Assignment
from app.runtime.batch import from_positions, ranges, union
from app.runtime.clients import Clients, KafkaClients
from app.runtime.delivery import Delivery
from app.runtime.errors import EngineError, MemberEnded, RecordRefusedError, TransactionAborted
from app.runtime.inflight import InFlight
from app.runtime.intake import Intake
from app.runtime.parcel import Outbox, Parcel
from app.runtime.rhythm import Rhythm
from app.runtime.settings import EngineSettings
from app.runtime.statistics import EngineStatistics
from app.runtime.transaction import Transactions
from app.runtime.watchdog import Watchdog
from topology.costs import Costs
from topology.records import Batch, KeyValueStore, Outcome, SubTopology
from topology.topics import Partition

log = logging.getLogger("northbound.runtime")

ABORTS = 10
"""Aborts in a row after which the process ends."""
STUCK = 0.8, 3
"""It also ends after fewer, but so many, when they took this share of the stall time-out."""


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
        if sub_topology is not None and set(sub_topology.stores) != set(settings.changelogs):
            raise EngineError(
                f"Engine {settings.name}: stores {sorted(sub_topology.stores)} need one changelog "
                f"each, but changelogs are given for {sorted(settings.changelogs)}"
            )
        clients = clients or KafkaClients()
        self.settings = settings
        self.sub_topology = sub_topology
        # Polars works in the calling thread where it has one thread only, as workers set it.
        self.costs = Costs(time.thread_time)
        self.statistics = EngineStatistics(settings.name, settings.group, costs=self.costs)
        self.kafka_thread = ThreadPoolExecutor(1, f"{settings.name}-kafka")
        self.stage_thread = ThreadPoolExecutor(1, f"{settings.name}-stage")
        self._pulse = watchdog.watch(f"engine {settings.name}", settings.start_timeout * 2)
        self._transactions = Transactions(settings, clients, watchdog)
        self._intake = Intake(settings, clients, watchdog, self.statistics)
        self._assignment = Assignment(settings, sub_topology, clients, watchdog, self.statistics)
        self._outbox = Outbox()
        mark = settings.state and settings.state / f"{settings.instance}.inflight"
        self._in_flight = InFlight(mark)
        self._backlog: deque[Delivery] = deque()
        self._counts: Counter[str] = Counter()
        self._records = 0
        self._broken: TransactionAborted | None = None
        self._replacement: SubTopology | None = None
        self._stopping = False
        self._aborts = 0
        self._aborted = 0.0
        self._doubt: dict[Partition, int] = {}
        """Positions of a commit that did not answer."""
        self._rhythm = Rhythm(settings.commit_interval)
        self._delivered = 0.0

    def start(self) -> None:
        """Connect, end what a predecessor left open, and join the group."""
        self._transactions.start()
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
            if self._replacement is not None:
                self._exchange()
            # With suspects, each part has a transaction of its own, so that a refusal points at it.
            now = time.monotonic()
            if self._pending and (now >= self._rhythm.due or self._in_flight.suspects):
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
            if self._pending:
                self._commit()
        except TransactionAborted as reason:
            log.warning("Last transaction aborted. engine=%s reason=%s", self.settings.name, reason)
            self._in_flight.end()
            self._abort()
        self._intake.close()
        self._transactions.close()
        self._outbox.close(EngineError("the worker has stopped"))
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
        self._transactions.close()
        self._assignment.standby.stop()
        self._outbox.close(EngineError("the worker ended before the record was committed"))
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
        """Run the sub-topology on a batch; for the stage thread, one call at a time.

        A rejected record goes to `SubTopology.reject(batch, reason)` where there is such a method.
        """
        sub_topology = self.sub_topology
        if sub_topology is None:
            raise EngineError(f"Engine {self.settings.name} has no sub-topology to process with.")
        work = sub_topology.process
        if rejected:
            self.statistics.rejected += len(batch)
            log.error("Record rejected: it ended the process. records=%s", ranges(batch))
            reject = getattr(sub_topology, "reject", None)
            if reject is not None:
                work = partial(reject, reason="the record ended the worker's process")
        started = time.monotonic()
        with self.costs.measure():
            try:
                outcome = work(batch)
            except pl.exceptions.PanicException as error:
                # No Exception: nobody would hear of it before the watchdog does.
                raise RuntimeError(f"Polars panicked: {error}") from error
        self.statistics.stage_seconds += time.monotonic() - started
        return outcome

    def store(self, name: str, partition: int) -> KeyValueStore:
        """A store's partition, for plain agents."""
        return self._assignment.store(name, partition)

    def replace(self, sub_topology: SubTopology) -> None:
        """Go on with another sub-topology of the same stores, between two batches. For any thread.

        It takes over what was committed, as it would after a restart.
        """
        if set(sub_topology.stores) != set(self.settings.changelogs):
            raise EngineError(
                f"Engine {self.settings.name}: saw stores {sorted(sub_topology.stores)}, expected "
                f"{sorted(self.settings.changelogs)}"
            )
        self._replacement = sub_topology

    def post(self, parcel: Parcel) -> None:
        """Send a record with the next transaction. For any thread."""
        self._outbox.post(parcel)

    def send(self, parcel: Parcel) -> None:
        """Send a record with the transaction of the batch that is in work."""
        try:
            self._transactions.send(parcel)
        except TransactionAborted as reason:
            self._broken = reason
            parcel.done(reason)
        else:
            self.statistics.outputs += 1
            self._outbox.sent(parcel)

    def serve(self) -> bool:
        """Answer senders within a batch; True when none waits."""
        if self._outbox.under_way:
            try:
                if self._transactions.flush(0.05):
                    self._outbox.arrived()
            except TransactionAborted as reason:
                self._broken = reason
                self._outbox.aborted(reason)
        return not self._outbox.under_way

    @property
    def _pending(self) -> bool:
        return self._transactions.open or self._outbox.waiting or self._assignment.progress

    def _accept(self, done: Sequence[Delivery]) -> None:
        self._pulse.beat("taking over what was done")
        if self._broken is not None:
            raise self._broken
        for delivery in done:
            outcome = delivery.outcome
            self.statistics.outputs += self._transactions.produce(outcome.outputs)
            self._assignment.advance(delivery.batch, outcome.metadata)
            self._counts.update(outcome.counts)
            self._records += len(delivery)
        if done:
            self._rhythm.worked(time.monotonic() - self._delivered)
            self._in_flight.end()

    def _exchange(self) -> None:
        if self._pending:
            self._commit()
        replacement, self._replacement = self._replacement, None
        if replacement is not None:
            self._assignment.exchange(replacement, self._pulse)
            self.sub_topology = replacement

    def _commit(self, *, leaving: bool = False) -> None:
        """One transaction. `leaving`: also commit unchanged positions, which proves membership."""
        self._pulse.beat("committing")
        started = time.monotonic()
        assignment, transactions = self._assignment, self._transactions
        watermarks: dict[Partition, int] = {}
        if self.sub_topology is not None and assignment.next:
            with self.costs.measure(("commit", "")):
                outcome = self.sub_topology.before_commit()
            self.statistics.outputs += transactions.produce(outcome.outputs)
            assignment.annotate(outcome.metadata)
            self._counts.update(outcome.counts)
            watermarks = outcome.watermarks
        transactions.produce(assignment.changes())
        parcels = self._outbox.posted()
        for parcel in parcels:
            transactions.send(parcel)
        ends = {}
        if (leaving and assignment.stores) or assignment.place_due:
            transactions.flush_all()
            ends = assignment.ends()
        offsets = assignment.offsets(everything=leaving)
        try:
            transactions.commit(offsets, self._intake.consumer.consumer_group_metadata())
        except TransactionAborted:
            if transactions.uncertain:
                self._doubt = {
                    where: last + 1 for where, (_, last) in assignment.uncommitted().items()
                }
                self._outbox.doubt(parcels)
            raise
        self._outbox.committed(parcels)
        assignment.commit(ends)
        self._in_flight.settle(assignment.next)
        ended = time.monotonic()
        self.statistics.commit(self._records, self._counts, ended - started, watermarks)
        self._rhythm.committed(started, ended)
        self._records, self._aborts = 0, 0
        self._counts.clear()

    def _poll(self) -> None:
        """Fetch the next batches into the backlog."""
        self._pulse.beat("polling")
        batches = self._intake.poll(idle=not self._pending, until=self._rhythm.gather_until())
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

    def _deliver(self) -> list[Delivery]:
        """What is in work next: all that was polled, or one part when some of it is suspect."""
        deliveries = list(self._backlog)
        if self._in_flight.suspects:
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
        now = time.monotonic()
        self._aborts += 1
        if self._aborts == 1:
            self._aborted = now
        share, least = STUCK
        stuck = now - self._aborted > share * self.settings.stall_timeout
        if self._aborts > ABORTS or (stuck and self._aborts >= least):
            raise EngineError(f"{self._aborts} transactions in a row were aborted: {reason}")
        self._pulse.beat("aborting")
        self._in_flight.end()
        if partitions := self._abort():
            self._assignment.take(self._intake.consumer, partitions, self._pulse)
        if self._outbox.doubted:
            self._decide()

    def _decide(self) -> None:
        """What became of a commit that did not answer: its offsets tell, if it had new ones."""
        committed = None
        for where, position in self._doubt.items():
            if where in self._assignment.next:
                committed = self._assignment.next[where] >= position
        self._outbox.decided(committed=committed)

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
        """Abort, and own nothing any more; returns what was owned.

        Nobody can commit offsets afterwards whose records were aborted: leaving the group would.
        """
        self.statistics.aborts += self._transactions.open
        self._broken = None
        self._rhythm.aborted()
        self._backlog.clear()
        self._counts.clear()
        self._records = 0
        self._outbox.aborted(TransactionAborted("the transaction was aborted"))
        try:
            self._transactions.abort()
        finally:
            dropped = self._assignment.drop()
        return dropped

    def _assigned(self, partitions: list[Partition]) -> None:
        if self._assignment.next or self._transactions.open:
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
        if self._pending or leaving:
            try:
                self._commit(leaving=leaving)
            except TransactionAborted as reason:
                log.warning("Aborted at revocation. engine=%s: %s", self.settings.name, reason)
                self._abort()
                self._outbox.decided(committed=None)
        self._assignment.drop()

    def _lost(self, partitions: list[Partition]) -> None:
        log.warning("Partitions lost. engine=%s count=%d", self.settings.name, len(partitions))
        self._abort()
