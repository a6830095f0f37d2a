"""The state that `make bench CASE=state` measures is one that the product takes over."""

from bench.state import entries
from bench.state_worker import TENANT, rules
from topology.alerts import STORE, AlertsSubTopology
from topology.testing import MemoryStore
from topology.topics import Names


def test_entries_are_taken_over() -> None:
    """Rules and entries are made by hand there, and have to be what the product asks of them."""
    keys, values = entries(range(8))
    store = MemoryStore(dict(zip(keys, values, strict=True)))
    taken = AlertsSubTopology(rules(), (), Names("state-"), {TENANT: {"nas"}}, {"nas": None})
    taken.assign({}, {(STORE, 0): store})
    assert taken.before_commit().outputs == []
    assert dict(store.items()) == dict(zip(keys, values, strict=True))
