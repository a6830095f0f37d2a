"""Sub-topology 1, first half, where `normalized` is exposed: raw records in, normalized events out.

Each raw record becomes event(s), a tick or a dead letter, or is filtered out. How far event time is
on each raw partition is known from the records before, lives in the committed offset, and goes
along with each event, so that whoever reads it judges lateness as a fused sub-topology would.
"""

from collections.abc import Mapping, Sequence

from topology import exposed
from topology.dead_letters import dead_letters, rejected
from topology.plan import Plan
from topology.received import receive, record_of
from topology.records import Batch, KeyValueStore, Outcome, Position
from topology.topics import Partition
from topology.uid import record_uids
from topology.watermark import Watermarks


class NormalizeSubTopology:
    """Implements topology.records.SubTopology over the raw topics of every source."""

    name = "normalize"
    stores: Sequence[str] = ()

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sources = {plan.names.raw(name): source for name, source in plan.sources.items()}
        self._watermarks = Watermarks()
        self._owned: set[Partition] = set()

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],  # noqa: ARG002  # stateless
    ) -> None:
        """Take over raw partitions where their last owner committed."""
        for partition, position in positions.items():
            self._watermarks.assign(partition, position.metadata)
            self._owned.add(partition)

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Forget raw partitions."""
        for partition in partitions:
            self._watermarks.revoke(partition)
            self._owned.discard(partition)

    def process(self, batch: Batch) -> Outcome:
        """Work on records of one raw topic, from any number of its partitions."""
        source, names = self._sources[batch.topic], self._plan.names
        received = receive(source, batch, self._plan.origins[batch.topic])
        times, before = self._watermarks.observe_raw(
            batch.topic, batch.partitions, received.times, batch.timestamps
        )
        received = received._replace(times=times)
        outputs = exposed.records(names.normalized(source.name), batch, received, before)
        if received.failures:
            outputs.append(
                dead_letters(
                    names,
                    source.name,
                    received.failures,
                    lambda failure: record_of(source, batch, received.uids, failure),
                )
            )
        ticks = int(received.ticks.sum())
        counts = {
            "records": len(batch) - ticks,
            "ticks": ticks,
            "normalized": received.events.height,
            "dead_letters": len(received.failures),
            **received.counts,
        }
        return Outcome(outputs, counts=counts)

    def reject(self, batch: Batch, reason: str) -> Outcome:
        """Make dead letters of records that ended the process each time; event time stays."""
        source, names = self._sources[batch.topic], self._plan.names
        uids = record_uids(batch, self._plan.origins[batch.topic])
        return rejected(
            names,
            source.name,
            batch,
            reason,
            lambda failure: record_of(source, batch, uids, failure),
        )

    def before_commit(self) -> Outcome:
        """The offsets' metadata."""
        return Outcome(
            metadata={partition: self._watermarks.metadata(partition) for partition in self._owned}
        )
