"""One partition of a state store: committed entries and, over them, the open transaction's."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

ABSENT: Final = object()


class Store:
    """A `topology.records.KeyValueStore`. Keys and values are bytes.

    `position` is the changelog offset up to which the entries are known to be complete. Applying
    the changelog again from there, in order, always leads to the committed state, so a store that
    was kept while its partition was away only needs what was written since.
    """

    __slots__ = ("_changes", "_entries", "position")

    def __init__(self) -> None:
        self._entries: dict[bytes, bytes] = {}
        self._changes: dict[bytes, bytes | None] = {}
        self.position = 0

    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is none."""
        # Most keys are not in the open transaction, and an exception costs more than both look-ups.
        value = self._changes.get(key, ABSENT)
        return self._entries.get(key) if value is ABSENT else value  # type: ignore[return-value]

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens where there is none."""
        if key in self._entries:
            self._changes[key] = None
        else:
            # Never committed, so no tombstone is needed.
            self._changes.pop(key, None)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries as they are now; later puts and deletes do not disturb the iteration."""
        changes = dict(self._changes)
        for key, value in self._committed():
            if key not in changes:
                yield key, value
        for key, changed in changes.items():
            if changed is not None:
                yield key, changed

    def _committed(self) -> Iterable[tuple[bytes, bytes]]:
        return self._entries.items()

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        entries = self._entries
        size = len(entries)
        for key, value in self._changes.items():
            size += (value is not None) - (key in entries)
        return size

    def changes(self) -> tuple[list[bytes], list[bytes | None]]:
        """Keys and values to write to the changelog with the transaction; None is a tombstone."""
        return list(self._changes), list(self._changes.values())

    def approximate_num_entries(self) -> int:
        """About how many committed entries there are, at little cost."""
        return len(self._entries)

    def commit(self, position: int | None = None) -> None:
        """The transaction was committed; with it, all is known up to `position`."""
        self._merge(self._changes)
        self._changes = {}
        if position is not None:
            self.position = position

    def rollback(self) -> None:
        """The transaction was aborted."""
        self._changes = {}

    def clear(self) -> None:
        """Start over: what the changelog now holds is no continuation of what was read."""
        self._entries = {}
        self._changes = {}
        self.position = 0

    def close(self) -> bool:
        """Its partition is somebody else's now; whether the store is of no more use."""
        return False

    def load(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Apply changelog records in their order."""
        if None in values:
            self._merge(dict(zip(keys, values, strict=True)))
        else:
            self._entries.update(zip(keys, values, strict=True))  # type: ignore[arg-type]

    def _merge(self, changes: dict[bytes, bytes | None]) -> None:
        entries = self._entries
        entries.update(changes)  # type: ignore[arg-type]  # None values are removed next
        for key, value in changes.items():
            if value is None:
                del entries[key]
