"""One pass over a store whose partition is taken over: who is due when, windows, watermarks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from topology.aggregate.windows import KIND as WINDOW
from topology.asleep import Asleep
from topology.correlate.chunks import FIRST, VERSION
from topology.correlate.chunks import KIND as CHUNK
from topology.correlate.head import due_of, dues_of
from topology.kept_batches import KIND as BATCH
from topology.kept_batches import MARK
from topology.keys import SUFFIX, rule_of
from topology.partition_state import PartitionState
from topology.progress import Progress
from topology.rules import Correlation, Tumbling
from topology.single_matches import QuietRule
from topology.waits import Waits

PART = 65_536
"""Groups that fall asleep together."""


@dataclass(slots=True)
class _Owner:
    """What the entries of a tenant's rule or aggregate belong to, as far as there is such a one."""

    correlation: Correlation | None
    aggregate: Tumbling | None
    topics: tuple[str, ...] = ()
    tenant_topics: tuple[str, ...] = ()
    times: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    firsts: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    batches: list[bytes] = field(default_factory=list)
    marks: dict[bytes, bytes] = field(default_factory=dict)
    """`times` are those of `keys`; `values` are the first chunks of the groups in `firsts`."""


class TakeOver:
    """Reads stores for the rules, aggregates and tenants of now."""

    def __init__(
        self,
        correlations: Mapping[str, Correlation],
        aggregates: Mapping[str, Tumbling],
        tenants: Collection[str],
        waits: Waits,
    ) -> None:
        self._correlations = correlations
        self._aggregates = aggregates
        self._tenants = tenants
        self._waits = waits

    def read(self, state: PartitionState) -> None:
        """Fill a partition's state from its store; entries of what is gone are deleted.

        Raises ValueError for entries of an unknown version.
        """
        store, progress, windows, asleep = state.store, state.progress, state.windows, state.asleep
        owners: dict[bytes, _Owner] = {}
        stale: list[bytes] = []
        for entry, value in store.items():  # for each of millions of entries
            key, suffix = entry[:-SUFFIX], entry[-SUFFIX:]
            head = rule_of(key)
            owner = owners.get(head)
            if owner is None:
                if Progress.owns(entry):
                    progress.restore(entry, value)
                    continue
                owner = owners[head] = self._owner(head)
            if suffix == FIRST and owner.correlation is not None:
                owner.firsts.append(key)
                owner.values.append(value)
                if len(owner.firsts) >= PART:
                    _sleep(owner, asleep)
            elif suffix[:1] == WINDOW and owner.aggregate is not None:
                start = int.from_bytes(suffix[1:], "big", signed=True)
                windows.restore(entry, value, start, owner.aggregate, owner.tenant_topics)
            elif suffix[:1] == BATCH and owner.correlation is not None:
                owner.batches.append(entry)
            elif suffix == MARK and owner.correlation is not None:
                owner.marks[key] = value
            elif suffix[:1] != WINDOW and owner.correlation is not None:
                owner.times.append(due_of(suffix, value, owner.correlation))
                owner.keys.append(key)
                if suffix[:1] == CHUNK:
                    asleep.number(key, int.from_bytes(suffix[1:], "big"))
            else:
                stale.append(entry)
        for head, owner in owners.items():
            if owner.correlation is not None and (owner.batches or owner.marks):
                _keep(state, head, owner, owner.correlation)
            _sleep(owner, asleep)
        for entry in stale:
            store.delete(entry)

    def _owner(self, head: bytes) -> _Owner:
        tenant, _, name = head.decode().partition("\0")
        if tenant not in self._tenants:
            return _Owner(None, None)
        correlation = self._correlations.get(name)
        if correlation is not None and not correlation.rule.serves(tenant):
            correlation = None
        owner = _Owner(correlation, self._aggregates.get(name))
        if owner.correlation is not None:
            owner.topics = self._waits.topics(tenant, owner.correlation)
        owner.tenant_topics = self._waits.topics(tenant)
        return owner


def _keep(state: PartitionState, head: bytes, owner: _Owner, correlation: Correlation) -> None:
    """Take over batches; groups of a rule that has become another one are looked at alone."""
    rule = state.kept.rule(head) or QuietRule(owner.topics, b"", 0, correlation.timespan_ms, 1)
    for key in state.kept.restore(rule, owner.batches, owner.marks):
        owner.keys.append(key)
        chunk = state.store.get(key + FIRST) or VERSION
        owner.times.append(due_of(FIRST, chunk, correlation))


def _sleep(owner: _Owner, asleep: Asleep) -> None:
    if owner.correlation is not None and (owner.keys or owner.firsts):
        owner.times += dues_of(owner.values, owner.correlation)
        owner.keys += owner.firsts
        asleep.add(owner.topics, owner.times, owner.keys)
        owner.times, owner.keys, owner.firsts, owner.values = [], [], [], []
