"""An engine's sub-topology at work: run on batches, counted, and exchanged between two of them."""

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import polars as pl

from app.runtime.batch import ranges
from app.runtime.errors import EngineError
from app.runtime.settings import EngineSettings
from app.runtime.statistics import EngineStatistics
from topology.records import Batch, Outcome, SubTopology

log = logging.getLogger("northbound.runtime")


class Stage:
    """`process` is for the stage thread, `replace` for any, the rest for the engine's.

    Raises EngineError when the sub-topology's stores are not those of the settings.
    """

    def __init__(
        self,
        settings: EngineSettings,
        sub_topology: SubTopology | None,
        statistics: EngineStatistics,
    ) -> None:
        if sub_topology is not None and set(sub_topology.stores) != set(settings.changelogs):
            raise EngineError(
                f"Engine {settings.name}: stores {sorted(sub_topology.stores)} need one changelog "
                f"each, but changelogs are given for {sorted(settings.changelogs)}"
            )
        self.sub_topology = sub_topology
        self._settings = settings
        self._statistics = statistics
        self._replacements: deque[SubTopology] = deque(maxlen=1)

    def process(self, batch: Batch, *, rejected: bool) -> Outcome:
        """Run the sub-topology on a batch, one call at a time.

        A rejected record goes to `SubTopology.reject(batch, reason)` where there is such a method.
        """
        sub_topology = self.sub_topology
        if sub_topology is None:
            raise EngineError(f"Engine {self._settings.name} has no sub-topology to process with.")
        work = sub_topology.process
        if rejected:
            self._statistics.rejected += len(batch)
            log.error("Record rejected: it ended the process. records=%s", ranges(batch))
            reject = getattr(sub_topology, "reject", None)
            if reject is not None:
                work = partial(reject, reason="the record ended the worker's process")
        started = time.monotonic()
        with self._statistics.costs.measure(), panics_told():
            outcome = work(batch)
        self._statistics.stage_seconds += time.monotonic() - started
        return outcome

    def before_commit(self) -> Outcome:
        """What the sub-topology has to say before a commit."""
        if self.sub_topology is None:
            return Outcome()
        with self._statistics.costs.measure(("commit", "")), panics_told():
            return self.sub_topology.before_commit()

    def replace(self, sub_topology: SubTopology) -> None:
        """Have another one of the same stores taken over between two batches; the newest counts."""
        if set(sub_topology.stores) != set(self._settings.changelogs):
            raise EngineError(
                f"Engine {self._settings.name}: saw stores {sorted(sub_topology.stores)}, expected "
                f"{sorted(self._settings.changelogs)}"
            )
        self._replacements.append(sub_topology)

    @property
    def replaced(self) -> bool:
        """Whether another one is there to be taken over."""
        return bool(self._replacements)

    def exchange(self) -> SubTopology:
        """Work with the other one from now on."""
        # One step, whatever `replace` does meanwhile: none that comes is lost.
        self.sub_topology = self._replacements.popleft()
        return self.sub_topology


@contextmanager
def panics_told() -> Iterator[None]:
    """A panic of Polars is no Exception: nobody would hear of it before the watchdog does."""
    try:
        yield
    except pl.exceptions.PanicException as error:
        raise RuntimeError(f"Polars panicked: {error}") from error
