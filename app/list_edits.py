"""Active lists of a cluster: what they have now, and edits that workers take up as if rules had
made them.

An edit is a record of `matches` like a rule's, in the partition of its key, with the time at which
it was made; tests of later event time see it. What a list has is read from its store's changelog.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.dictionary_topics import write_records
from app.reading import read
from topology.active_lists import EDIT, STORE
from topology.correlate.list_key import Entry, ListKey
from topology.kept_steps import KeptSteps
from topology.keys import SUFFIX, group_key, group_of
from topology.list_contents import record
from topology.lists import LIST, ActiveList
from topology.partitioner import partitions
from topology.step_batches import Left, left_of
from topology.testing import MemoryStore
from topology.topics import Names

LARGEST: Final = 4_096
"""Bytes that a key or a value may have."""


class Edit(NamedTuple):
    """What is done to a key. `values` None: it is removed. `ttl_ms` None: until it is removed."""

    key: tuple[str, ...]
    values: Mapping[str, str] | None
    ttl_ms: int | None = None


class Listed(NamedTuple):
    """An entry. `scope`: whose it is (ActiveList.scope)."""

    scope: str
    key: tuple[str, ...]
    entry: Entry


def entries(
    client: Mapping[str, Any], names: Names, listed: ActiveList, scopes: Sequence[str], now_ms: int
) -> Iterator[Listed]:
    """What a list has at a time, what workers have not judged yet included, by key.

    Raises ReadingError.
    """
    messages = read(client, [names.changelog(STORE)])
    records = (
        (message.partition() or 0, message.key() or b"", message.value()) for message in messages
    )
    yield from present(records, listed, scopes, now_ms)


def present(
    records: Iterable[tuple[int, bytes, bytes | None]],
    listed: ActiveList,
    scopes: Sequence[str],
    now_ms: int,
) -> Iterator[Listed]:
    """The same from the records of the changelog: partition, key, value."""
    beginnings = tuple(group_key(scope, LIST + listed.name, ("",)) for scope in scopes)
    kept: dict[bytes, dict[bytes, bytes]] = {}
    together: dict[int, dict[bytes, bytes]] = {}
    for partition, whole, value in records:
        if KeptSteps.owns(whole):
            entries = together.setdefault(partition, {})
        elif whole.startswith(beginnings):
            entries = kept.setdefault(whole[:-SUFFIX], {})
        else:
            continue
        if value is not None:
            entries[whole] = value
        else:
            entries.pop(whole, None)
    waiting: dict[bytes, list[Left]] = {}
    for entries in together.values():
        for left in left_of(entries, beginnings):
            waiting.setdefault(left.key, []).append(left)
    for key in sorted(kept.keys() | waiting.keys()):
        state = ListKey(MemoryStore(kept.get(key, {})), key)
        state.recall()
        if state.due() is None:  # what waits in its own entries was moved there
            for left in waiting.get(key, ()):
                state.add(left.matches, left.piece)
        # Event time may be ahead of this clock; an edit counts from where judging is.
        at = max(state.judged_to(now_ms), state.latest(EDIT))
        state.settle(at + 1, lambda _: ())
        entry = state.entry
        if entry is not None and not entry.ended(at):
            scope, _, parts = group_of(key)
            yield Listed(scope, parts, entry)


def write(
    client: Mapping[str, Any],
    names: Names,
    listed: ActiveList,
    scope: str,
    edits: Iterable[Edit],
    *,
    by: str,
    now_ms: int,
    matches_partitions: int,
) -> int:
    """Write edits, all of them or none; how many. Raises ClusterError, and ValueError for a key or
    a value that is too long."""
    run = secrets.token_hex(8)
    made = edited(listed, scope, edits, by=by, now_ms=now_ms, run=run)
    keys = [key for key, _ in made]
    places = partitions(keys, matches_partitions).tolist()
    write_records(
        client,
        names.matches,
        ((key, value, place) for (key, value), place in zip(made, places, strict=True)),
        identity=f"{names.matches}-edits",
    )
    return len(made)


def edited(
    listed: ActiveList, scope: str, edits: Iterable[Edit], *, by: str, now_ms: int, run: str
) -> list[tuple[bytes, bytes]]:
    """Keys and values of edits for `matches`. `run`: no other edits have it. Raises ValueError."""
    made: list[tuple[bytes, bytes]] = []
    for number, (key, kept, ttl_ms) in enumerate(edits):
        for text in (*key, *(kept or {}).values()):
            if len(text.encode()) > LARGEST:
                raise ValueError(f"{text[:40]!r}… has more than {LARGEST} bytes")
        content: dict[str, Any] = {"a": "remove", "r": by}
        if kept is not None:
            content = {"a": "add", "r": by, "t": ttl_ms, "v": kept}
        uid = f"{EDIT}{run}-{number:07}"
        made.append(record(scope, listed, key, now_ms, uid, content))
    return made
