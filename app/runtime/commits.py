"""What an engine's transaction holds: all of it is committed, or all of it is taken back.

Outputs, the stores' changes, records of senders, and the next input offsets with their metadata.
"""

from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

from app.runtime.assignment import Assignment
from app.runtime.clients import Clients
from app.runtime.delivery import Delivery
from app.runtime.errors import EngineError, TransactionAborted
from app.runtime.inflight import InFlight
from app.runtime.parcel import Outbox, Parcel
from app.runtime.rhythm import Rhythm
from app.runtime.settings import EngineSettings
from app.runtime.stage import Stage
from app.runtime.statistics import EngineStatistics
from app.runtime.transaction import Transactions
from app.runtime.watchdog import Watchdog
from topology.topics import Partition


class Commits:
    """Begins a transaction with the first that is to be in it. Raises TransactionAborted when all
    is to be taken back, and EngineError when the process must end; `post` is for any thread."""

    def __init__(
        self,
        settings: EngineSettings,
        clients: Clients,
        watchdog: Watchdog,
        stage: Stage,
        assignment: Assignment,
        in_flight: InFlight,
        rhythm: Rhythm,
        statistics: EngineStatistics,
    ) -> None:
        self._transactions = Transactions(settings, clients, watchdog)
        self._outbox = Outbox()
        self._stage = stage
        self._assignment = assignment
        self._in_flight = in_flight
        self._rhythm = rhythm
        self._statistics = statistics
        self._counts: Counter[str] = Counter()
        self._records = 0
        self._broken: TransactionAborted | None = None
        self._doubt: dict[Partition, int] = {}
        """Positions of a commit that did not answer."""

    def start(self) -> None:
        """End what a predecessor left open."""
        self._transactions.start()

    @property
    def open(self) -> bool:
        """Whether a transaction is."""
        return self._transactions.open

    @property
    def pending(self) -> bool:
        """Whether there is something to commit."""
        return self._transactions.open or self._outbox.waiting or self._assignment.progress

    def accept(self, done: Sequence[Delivery]) -> None:
        """Take in what batches have led to."""
        if self._broken is not None:
            raise self._broken
        for delivery in done:
            outcome = delivery.outcome
            self._statistics.outputs += self._transactions.produce(outcome.outputs)
            self._assignment.advance(delivery.batch, outcome.metadata)
            self._counts.update(outcome.counts)
            self._records += len(delivery)

    def commit(self, consumer: Any, *, leaving: bool = False) -> None:
        """One transaction. `leaving`: also commit unchanged positions, which proves membership."""
        started = monotonic()
        assignment, transactions = self._assignment, self._transactions
        watermarks: dict[Partition, int] = {}
        if assignment.next:
            # What ends the process in here is what these records have led to.
            self._in_flight.begin(assignment.uncommitted())
            outcome = self._stage.before_commit()
            self._in_flight.end()
            self._statistics.outputs += transactions.produce(outcome.outputs)
            assignment.annotate(outcome.metadata)
            self._counts.update(outcome.counts)
            watermarks = outcome.watermarks
        changed = transactions.produce(assignment.changes())
        parcels = self._outbox.posted()
        for parcel in parcels:
            transactions.send(parcel)
        ends = {}
        if (leaving and assignment.stores) or assignment.place_due:
            transactions.flush_all()
            ends = assignment.ends()
        # Ends stand for the records of this member alone, and it alone may change its stores: a
        # commit with offsets proves that it is one.
        offsets = assignment.offsets(everything=leaving or bool(ends))
        if changed and not offsets:
            offsets = assignment.offsets(everything=True)
        try:
            transactions.commit(offsets, consumer.consumer_group_metadata())
        except (EngineError, TransactionAborted):
            if transactions.uncertain:
                self._doubt = {
                    where: last + 1 for where, (_, last) in assignment.uncommitted().items()
                }
                self._outbox.doubt(parcels)
            raise
        self._outbox.committed(parcels)
        assignment.commit(ends)
        self._in_flight.settle(assignment.next)
        ended = monotonic()
        self._statistics.commit(self._records, self._counts, ended - started, watermarks)
        self._rhythm.committed(started, ended)
        self._records = 0
        self._counts.clear()

    def abort(self) -> list[Partition]:
        """Abort, and own nothing any more; returns what was owned.

        Nobody can commit offsets afterwards whose records were aborted: leaving the group would.
        """
        self._statistics.aborts += self._transactions.open
        self._broken = None
        self._rhythm.aborted()
        self._counts.clear()
        self._records = 0
        self._outbox.aborted(TransactionAborted("the transaction was aborted"))
        try:
            self._transactions.abort()
        finally:
            dropped = self._assignment.drop()
        return dropped

    def decide(self) -> None:
        """What became of a commit that did not answer: its offsets tell, if it had new ones of
        partitions that are owned again."""
        if not self._outbox.doubted:
            return
        committed = None
        for where, position in self._doubt.items():
            if where in self._assignment.next:
                committed = self._assignment.next[where] >= position
        self._outbox.decided(committed=committed)

    def close(self, reason: Exception) -> None:
        """No transaction any more; senders that wait are told the reason."""
        self._transactions.close()
        self._outbox.close(reason)

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
            self._statistics.outputs += 1
            self._outbox.sent(parcel)

    def serve(self) -> bool:
        """Answer senders within a batch, also when the process is to end; True when none waits."""
        if self._outbox.under_way:
            try:
                if self._transactions.flush(0.05):
                    self._outbox.arrived()
            except TransactionAborted as reason:
                self._broken = reason
                self._outbox.aborted(reason)
            except EngineError as reason:  # who commits meets it again
                self._outbox.aborted(reason)
        return not self._outbox.under_way
