"""Sub-topology 2: matches in, alerts out. Stateful; one store, co-partitioned with `matches`.

Partials join their group and may make a condition true at once (a provisional alert); watermarks
settle groups (final and superseded alerts) and remove what expired; tallies are added up. Finals
depend on the matches alone: not on batches, arrival within lateness, partitions or restarts.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import product

from schemas.codec import decode, header
from topology.active_lists import STORE as LISTS
from topology.active_lists import ActiveLists
from topology.aggregate.windows import Windows
from topology.arriving import Arriving
from topology.asleep import Asleep
from topology.chained import Chains, delay_ms, topic_of, watermarks
from topology.costs import costs
from topology.following import Following
from topology.kept_batches import KeptBatches
from topology.lists import tests
from topology.northbound.findings import Form
from topology.outbox import Outbox
from topology.partition_state import PartitionState
from topology.progress import NOTHING, Progress
from topology.quiet import Quiet, QuietRules
from topology.records import Batch, KeyValueStore, Outcome, Output, Position, StoreError
from topology.rules import LogSource, Rules, Tumbling
from topology.settling import Settling
from topology.single_matches import stretches
from topology.takeover import TakeOver
from topology.topics import Names, Partition
from topology.waits import Waits

STORE = "alerts"
PARTIAL, TALLY, BATCH = header("Partial"), header("Tally"), header("PartialBatch")
HEADER = len(PARTIAL)
MANY = 64
"""Partials in a row that are looked at in columns first."""
AWAKE = 131_072
"""Groups in memory at most after a commit, over all partitions; about 1.2 kB each."""
QUIET = 4
"""Groups without an object that may be known for each one with; about 230 bytes each."""
KEPT = 16
"""Groups whose matches may be kept together for each one with; about 250 bytes each."""


class AlertsSubTopology:
    """Implements topology.records.SubTopology over `matches`.

    `tenants`: those with an alerts feed, and the sources they receive. `sources`: log source of
    each source's events (None: all rules meet them). `formats`: of each tenant's alerts. `masked`:
    tenants with a mask. `partitions`: how many `matches` has.
    """

    name = "alerts"

    def __init__(
        self,
        rules: Rules,
        aggregates: Sequence[Tumbling],
        names: Names,
        tenants: Mapping[str, Collection[str]],
        sources: Mapping[str, LogSource | None],
        product_version: str = "0.1.0",
        awake: int = AWAKE,
        formats: Mapping[str, Form] | None = None,
        partitions: int = 1,
        masked: Collection[str] = frozenset(),
        filled: Callable[[], Collection[Partition] | None] = lambda: None,
        shared_records: bool = True,
    ) -> None:
        """`filled` names the raw partitions that hold records; None: it cannot tell. It is asked at
        each take-over, so that nothing waits for those of a topic that was made anew.
        `shared_records`: whether many keys may share a record of `matches`."""
        self._filled = filled
        self._correlations = {entry.rule.id: entry for entry in rules.correlations}
        self._aggregates = {entry.name: entry for entry in aggregates}
        self._names = names
        self._tenants = tenants
        self._version = product_version
        self._formats = formats or dict.fromkeys(tenants, Form())
        self._masked = masked
        self._waits = Waits(rules, names, tenants, sources)
        self._chains = Chains(rules.correlations, rules.steps)
        self._lists: ActiveLists | None = None
        if rules.lists:
            following = None
            if shared_records:
                following = Following(rules, sorted(tenants), names.matches, partitions)
            self._lists = ActiveLists(rules, sorted(tenants), self._waits, following)
        asking = {name for name, steps in rules.steps.items() if tests(steps)}
        self._settling = Settling(
            self._correlations, self._waits, self._chains, self._lists, asking
        )
        self.stores: Sequence[str] = (STORE, LISTS) if rules.lists else (STORE,)
        self._partitions = partitions
        self._quiet = QuietRules()
        for tenant in tenants:
            for entry in rules.correlations:
                if entry.rule.serves(tenant):
                    self._quiet.add(tenant, entry, self._waits.topics(tenant, entry))
        self._states: dict[int, PartitionState] = {}
        self._arriving = Arriving(
            rules, aggregates, tenants, self._waits, self._settling, self._lists, asking
        )
        self._awake = awake
        self._take_over = TakeOver(self._correlations, self._aggregates, tenants, self._waits)

    @property
    def window_ms(self) -> int:
        """How long an entry of the store can matter, in event time."""
        spans = [entry.timespan_ms + entry.suppress_ms for entry in self._correlations.values()]
        # What counts alerts hears of them so much later.
        later = sum(map(delay_ms, self._chains.counted))
        spans = [span + later for span in spans]
        spans += [entry.window_ms + entry.grace_ms for entry in self._aggregates.values()]
        return max(spans, default=0)

    def assign(
        self,
        positions: Mapping[Partition, Position],  # noqa: ARG002  # all state is in the store
        stores: Mapping[tuple[str, int], KeyValueStore],
    ) -> None:
        """Take over partitions of `matches` with what their stores hold."""
        filled = self._filled() if stores else None
        for (name, partition), store in stores.items():
            if name == STORE and partition not in self._states:
                progress, asleep = Progress(store, self._partitions, self._waits.behind), Asleep()
                quiet = Quiet(self._quiet, store, progress, asleep)
                kept = KeptBatches(store, progress, asleep, self._quiet.rule)
                state = PartitionState(store, progress, Windows(store), asleep, quiet, kept)
                self._take_over.read(state)
                if filled is not None:
                    progress.forget(filled)
                if self._lists is not None:
                    state.lists = self._lists.open(stores[LISTS, partition], progress)
                self._states[partition] = state

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Forget partitions."""
        for _, partition in partitions:
            self._states.pop(partition, None)

    def process(self, batch: Batch) -> Outcome:
        """Take matches and watermarks in order; alerts come out."""
        work = Outbox(self._names, self._version, self._formats, self._masked)
        for start, stop, partials in stretches(batch, PARTIAL):
            rows: Iterable[int] = range(start, stop)
            if not partials:
                with costs().stage("correlate", "watermarks"):
                    for row in rows:
                        self._record(batch, row, work)
                continue
            if stop - start >= MANY:
                with costs().stage("correlate", "columns"):
                    rows = self._states[int(batch.partitions[start])].take_many(batch, start, stop)
            with costs().rule_pass("correlate", "groups", stop - start) as worked:
                for row in rows:
                    self._record(batch, row, work)
                    if worked is not None:
                        worked(self._arriving.title(batch.keys[row] or b""))
        outcome = work.outcome()
        if self._chains.counted or self._lists is not None:
            outcome.outputs += self._come()
        return outcome

    def reject(self, batch: Batch, reason: str) -> Outcome:
        """Make dead letters of records that ended the process each time."""
        work = Outbox(self._names, self._version, self._formats, self._masked)
        for row, value in enumerate(batch.values):
            if value is not None:
                work.refuse(batch, row, RuntimeError(reason))
        return work.outcome()

    def _come(self) -> list[Output]:
        """How far partitions have come with alerts that others count, where that has changed."""
        outputs: list[Output] = []
        for partition, state in self._states.items():
            marks = {}
            for tenant, entry in product(self._tenants, self._chains.counted):
                if not entry.rule.serves(tenant):
                    continue
                topic = topic_of(tenant, entry.rule.id)
                reached = state.progress.reached(self._waits.topics(tenant, entry))
                mark = max(reached, NOTHING + delay_ms(entry)) - delay_ms(entry)
                if mark > state.told.get(topic, NOTHING):
                    marks[topic] = state.told[topic] = mark
            for topic, topics in self._lists.counted if self._lists is not None else ():
                mark = state.progress.reached(topics)
                if mark > state.told.get(topic, NOTHING):
                    marks[topic] = state.told[topic] = mark
            outputs += watermarks(self._names, partition, marks, self._partitions)
        return outputs

    def _record(self, batch: Batch, row: int, work: Outbox) -> None:
        value = batch.values[row]
        if value is None:
            return
        state = self._states[int(batch.partitions[row])]
        try:
            opening = value[:HEADER]
            if opening == PARTIAL:
                self._arriving.partial(state, batch.keys[row] or b"", value, work)
            elif opening == TALLY:
                self._arriving.tally(state, batch.keys[row] or b"", value, work)
            elif opening == BATCH:
                room = KEPT * self._awake // len(self._states)
                self._arriving.partial_batch(state, batch, row, room, work)
            else:
                self._watermark(state, value, work)
                for number, (error, key, part) in enumerate(work.unread):
                    work.refuse(batch, row, error, (number, key, part))
                work.unread.clear()
        except StoreError:
            raise
        except Exception as error:
            work.refuse(batch, row, error)

    def before_commit(self) -> Outcome:
        """Write the groups that changed to their stores."""
        for state in self._states.values():
            for group in state.changed.values():
                group.flush()
            state.changed.clear()
            if state.lists is not None and self._lists is not None:
                self._lists.flush(state.lists)
        awake = sum(len(state.groups) for state in self._states.values())
        if awake > self._awake:
            for state in self._states.values():
                state.rest(len(state.groups) * self._awake // awake // 2)
        quiet = sum(len(state.quiet) for state in self._states.values())
        if quiet > QUIET * self._awake:
            for state in self._states.values():
                state.quiet.rest(len(state.quiet) * QUIET * self._awake // quiet // 2)
        return Outcome()

    # -- time ----------------------------------------------------------------------------------

    def _watermark(self, state: PartitionState, value: bytes, work: Outbox) -> None:
        schema, record = decode(value)
        if schema != "Watermark":
            raise ValueError(
                f"saw a {schema} record, expected Partial, PartialBatch, Tally or Watermark"
            )
        topic = record["topic"]
        if not state.progress.observe((topic, record["partition"]), record["watermark"]):
            return
        for topics in [*dict.fromkeys((*state.due, *state.asleep.waiting()))]:
            if topic in topics:
                self._settling.advance(state, topics, state.progress.reached(topics), work)
        for topics in [topics for topics in state.quiet.waiting() if topic in topics]:
            state.quiet.advance(topics, state.progress.reached(topics))
        for topics in [topics for topics in state.kept.waiting() if topic in topics]:
            state.kept.advance(topics, state.progress.reached(topics))
        for topics in [topics for topics in state.windows.waiting() if topic in topics]:
            state.windows.close(topics, state.progress.reached(topics))
        if self._lists is not None and state.lists is not None:
            self._lists.advance(state.lists, topic, work)
