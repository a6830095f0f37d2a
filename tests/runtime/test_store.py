"""A store is its committed entries under the open transaction's changes."""

from hypothesis import given
from hypothesis import strategies as st

from app.runtime.store import Store
from topology.records import KeyValueStore

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=2)),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("commit")),
        st.tuples(st.just("rollback")),
    )
)


@given(STEPS)
def test_a_store_is_a_dict_with_transactions(steps: list[tuple[str, ...]]) -> None:
    """Reads see the open transaction; the changelog of commits rebuilds the committed state."""
    store: Store = Store()
    now: dict[bytes, bytes] = {}
    committed: dict[bytes, bytes] = {}
    changelog: list[tuple[bytes, bytes | None]] = []
    for name, *arguments in steps:
        if name == "put":
            store.put(*arguments)
            now[arguments[0]] = arguments[1]
        elif name == "delete":
            store.delete(*arguments)
            now.pop(arguments[0], None)
        elif name == "commit":
            keys, values = store.changes()
            assert len(set(keys)) == len(keys), "one changelog record per changed key"
            changelog.extend(zip(keys, values, strict=True))
            store.commit()
            committed = dict(now)
        else:
            store.rollback()
            now = dict(committed)
        assert dict(store.items()) == now
        assert len(store) == len(now)
        for key in (b"a", b"b", b"c", b"d"):
            assert store.get(key) == now.get(key)
            assert (key in store) == (key in now)
    rebuilt = Store()
    half = len(changelog) // 2
    for part in (changelog[:half], changelog[half:]):
        rebuilt.load([key for key, _ in part], [value for _, value in part])
    assert dict(rebuilt.items()) == committed


def test_it_is_the_store_that_sub_topologies_know() -> None:
    """It has every method of the protocol."""
    methods = {name for name in vars(KeyValueStore) if callable(getattr(KeyValueStore, name))}
    assert {name for name in methods if not name.startswith("_")} <= set(dir(Store))


def test_what_was_never_committed_needs_no_tombstone() -> None:
    """Put and delete within a transaction leave nothing to write."""
    store = Store()
    store.put(b"k", b"v")
    store.delete(b"k")
    store.delete(b"nothing")
    assert store.changes() == ([], [])


def test_items_may_be_changed_while_they_are_read() -> None:
    """An iteration shows what was there when it began."""
    store = Store()
    store.load([b"a", b"b"], [b"1", b"2"])
    store.put(b"c", b"3")
    seen = []
    for key, value in store.items():
        seen.append((key, value))
        store.delete(key)
        store.put(key + b"'", b"new")
    assert sorted(seen) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert sorted(key for key, _ in store.items()) == [b"a'", b"b'", b"c'"]


def test_loading_twice_changes_nothing() -> None:
    """A kept store may read again what it wrote itself."""
    store = Store()
    keys, values = [b"a", b"b", b"a", b"b"], [b"1", b"2", None, b"3"]
    store.load(keys, values)
    store.load(keys[1:], values[1:])
    assert dict(store.items()) == {b"b": b"3"}


def test_clear_starts_over() -> None:
    """Nothing of a changelog that is gone is kept."""
    store = Store()
    store.load([b"a"], [b"1"])
    store.position = 5
    store.clear()
    assert (len(store), store.position) == (0, 0)
