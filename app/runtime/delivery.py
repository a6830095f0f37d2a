"""One batch in work: what an agent gets, and where what it leads to is gathered."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.runtime.errors import EngineError
from topology.records import Batch, KeyValueStore, Outcome, Output

if TYPE_CHECKING:
    from app.runtime.engine import Engine


class Delivery:
    """A batch between poll and commit. `batch` has the records, `outcome` what became of them."""

    __slots__ = ("batch", "engine", "outcome", "rejected")

    def __init__(self, engine: "Engine", batch: Batch, *, rejected: bool = False) -> None:
        self.engine = engine
        self.batch = batch
        self.outcome = Outcome()
        self.rejected = rejected

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def topic(self) -> str:
        return self.batch.topic

    @property
    def values(self) -> Sequence[bytes | None]:
        return self.batch.values

    @property
    def keys(self) -> Sequence[bytes | None]:
        return self.batch.keys

    @property
    def partition(self) -> int:
        """The partition of all records. Raises EngineError when the batch may span several."""
        if self.engine.settings.coalesce:
            raise EngineError("A coalesced batch has no single partition; see batch.partitions.")
        return int(self.batch.partitions[0])

    def send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None = None,
        partition: int | None = None,
    ) -> None:
        """Write records with the transaction that commits this batch."""
        self.outcome.outputs.append(Output(topic, values, keys, partition))

    def store(self, name: str) -> KeyValueStore:
        """The state of this batch's partition."""
        return self.engine.store(name, self.partition)

    def work(self) -> None:
        """Run the sub-topology on the batch, in the calling thread."""
        self.outcome = self.engine.process(self.batch, rejected=self.rejected)

    async def process(self) -> None:
        """Run the sub-topology on the batch in the stage thread."""
        await asyncio.get_running_loop().run_in_executor(self.engine.stage_thread, self.work)
