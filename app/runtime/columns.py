"""Puts whole Polars columns into librdkafka's queue, without a Python object for each record.

`Producer.produce` costs about 1 µs a record and `Series.to_list` another 0.4; librdkafka's own
rd_kafka_produce_batch takes 0.5 for both, copied from the Arrow buffers (docs/adr/0002). It is
public API of librdkafka; what is private is where confluent-kafka keeps its handle, so this is used
with the versions that tests/runtime/test_columns.py has looked into, and with no others.
"""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import numpy as np
import numpy.typing as npt
import polars as pl

KNOWN: Final = ("2.16.",)
"""Versions of confluent-kafka whose Producer begins with the handle, after the object's head."""
COPY: Final = 0x2  # RD_KAFKA_MSG_F_COPY
QUEUE_FULL: Final = -184  # RD_KAFKA_RESP_ERR__QUEUE_FULL
VIEWS: Final = b"vz"  # the Arrow C data interface's name for views of binary values
INLINE: Final = 12  # bytes that a view holds itself

MESSAGE: Final = np.dtype(
    {
        "names": ["err", "partition", "payload", "len", "key", "key_len"],
        "formats": ["i4", "i4", "u8", "u8", "u8", "u8"],
        "offsets": [0, 16, 24, 32, 40, 48],
        "itemsize": 72,
    }
)
"""rd_kafka_message_t on 64-bit machines."""

Addresses = npt.NDArray[np.uint64]


class _Schema(ctypes.Structure):
    _fields_ = (("format", ctypes.c_char_p), ("rest", ctypes.c_int64 * 8))


class _Array(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _Stream(ctypes.Structure):
    _fields_ = (
        ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


class ColumnWriter:
    """Writes to the queue of one confluent_kafka.Producer."""

    def __init__(self, library: ctypes.CDLL, producer: Any) -> None:
        self._library = library
        self._producer = producer  # the handle lives as long as it does
        self._handle = ctypes.c_void_p.from_address(id(producer) + object.__basicsize__).value

    @property
    def client(self) -> str:
        """What librdkafka calls the client; proof that the handle is one."""
        return str(self._library.rd_kafka_name(self._handle).decode())

    def write(
        self, topic: str, values: pl.Series, keys: pl.Series | None, partition: int, start: int
    ) -> tuple[int, int]:
        """Queue the records from `start` on: how many from the beginning are in, and an error.

        `values` and `keys` are Binary; a null is a tombstone, or no key. Partition -1 means by key.
        The error is 0
        when all are in, QUEUE_FULL when the rest can follow later, and else librdkafka's code for
        a record that it refused: others behind it may be in, so that the transaction must end.
        """
        messages = np.zeros(len(values) - start, dtype=MESSAGE)
        with ExitStack() as stack:
            for column, address, length in ((values, "payload", "len"), (keys, "key", "key_len")):
                if column is not None:
                    pointers = stack.enter_context(_pointers(column, start))
                    messages[address], messages[length] = pointers
                    if column.null_count():
                        nothing = column.slice(start).is_null().to_numpy()
                        messages[address][nothing], messages[length][nothing] = 0, 0
            done = self._produce(topic, partition, messages)
        if done == len(messages):
            return len(values), 0
        errors = messages["err"]
        first = int(np.flatnonzero(errors)[0])
        others = errors[first:][errors[first:] != QUEUE_FULL]
        return start + first, int(others[0]) if len(others) else QUEUE_FULL

    def _produce(self, topic: str, partition: int, messages: npt.NDArray[Any]) -> int:
        library = self._library
        handle = library.rd_kafka_topic_new(self._handle, topic.encode(), None)
        try:
            return int(
                library.rd_kafka_produce_batch(
                    handle, partition, COPY, messages.ctypes.data, len(messages)
                )
            )
        finally:
            library.rd_kafka_topic_destroy(handle)


def column_writer(producer: Any) -> ColumnWriter | None:
    """A writer for a producer, or None where it has to go record by record."""
    if type(producer) is not confluent_kafka.Producer:
        return None
    if not confluent_kafka.__version__.startswith(KNOWN) or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    library = _library()
    return None if library is None else ColumnWriter(library, producer)


def _library() -> ctypes.CDLL | None:
    """The librdkafka that confluent-kafka has loaded; a second copy would not know its handles."""
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    found = sorted(folder.glob("librdkafka-*"))
    if len(found) != 1:
        return None
    library = ctypes.CDLL(str(found[0]))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.rd_kafka_name.restype = ctypes.c_char_p
    library.rd_kafka_name.argtypes = [pointer]
    library.rd_kafka_topic_new.restype = pointer
    library.rd_kafka_topic_new.argtypes = [pointer, ctypes.c_char_p, pointer]
    library.rd_kafka_topic_destroy.argtypes = [pointer]
    library.rd_kafka_topic_destroy.restype = None
    library.rd_kafka_produce_batch.argtypes = [pointer, ctypes.c_int32, number, pointer, number]
    return library


def writable(column: object) -> bool:
    """Whether a column can go as it is."""
    return isinstance(column, pl.Series) and column.dtype == pl.Binary


@contextmanager
def _pointers(column: pl.Series, start: int) -> Iterator[tuple[Addresses, Addresses]]:
    """Address and length of each value from `start` on, valid within the context."""
    capsule = column.slice(start).rechunk().__arrow_c_stream__()
    stream = _Stream.from_address(_capsule_pointer(capsule, b"arrow_array_stream"))
    schema, array = _Schema(), _Array()
    if stream.get_schema(ctypes.addressof(stream), ctypes.addressof(schema)):
        raise RuntimeError("Polars gave no Arrow schema")
    try:
        if schema.format != VIEWS:
            raise RuntimeError(f"Polars gave Arrow {schema.format!r}, expected {VIEWS!r}")
        if stream.get_next(ctypes.addressof(stream), ctypes.addressof(array)):
            raise RuntimeError("Polars gave no Arrow array")
        try:
            yield _read_views(array)
        finally:
            _RELEASE(array.release)(ctypes.addressof(array))
    finally:
        # ArrowSchema: format, name, metadata, flags, n_children, children, dictionary, release.
        _RELEASE(schema.rest[6])(ctypes.addressof(schema))


def _read_views(array: _Array) -> tuple[Addresses, Addresses]:
    """Each view has a length and the value itself, or a prefix, a buffer's number and an offset."""
    first, count = array.offset, array.length
    begin = array.buffers[1] + first * 16 if array.buffers[1] else 0
    words = (ctypes.c_uint32 * (4 * count)).from_address(begin)
    views = np.frombuffer(words, dtype=np.uint32).reshape(count, 4)
    length = views[:, 0].astype(np.uint64)
    # Validity, views, the buffers, and last the buffers' sizes.
    found = [array.buffers[number] or 0 for number in range(2, array.n_buffers - 1)]
    buffers = np.array(found or [0], dtype=np.uint64)
    inside = length <= INLINE
    own = np.uint64(begin + 4) + np.arange(count, dtype=np.uint64) * np.uint64(16)
    far = buffers[np.where(inside, 0, views[:, 2])] + views[:, 3]
    return np.where(inside, own, far), length
