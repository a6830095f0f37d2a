"""Reading many TLS records in one call gives the bytes, the end and the errors of one by one."""

import contextlib
import datetime as dt
import ssl
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker import certificates
from app.ingest.tls import TlsSettings
from app.ingest.tls_records import PIECE, PIECES, RecordReader

SIZES = st.sampled_from([1, 2, 148, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5_000, 16_384])


class Session(NamedTuple):
    """A session in memory: the reader under test, what it reads from, and its sender."""

    reader: RecordReader
    incoming: ssl.MemoryBIO
    sender: ssl.SSLObject
    sent: ssl.MemoryBIO


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A listener's context and a sender's."""
    folder = tmp_path_factory.mktemp("tls")
    made = certificates.ensure(folder, ["localhost"], dt.datetime.now(dt.UTC), "ingest.pem")
    return TlsSettings(made.server).context(), ssl.create_default_context(cafile=made.ca)


def connect(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Session:
    """Shake hands in memory."""
    incoming, outgoing, received, sent = (ssl.MemoryBIO() for _ in range(4))
    reader = cast("RecordReader", contexts[0].wrap_bio(incoming, outgoing, server_side=True))
    sender = contexts[1].wrap_bio(received, sent, server_hostname="localhost")
    for _ in range(3):
        for side in (sender, reader):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            incoming.write(sent.read())
            received.write(outgoing.read())
    return Session(reader, incoming, sender, sent)


def drain(reader: RecordReader, buffer: bytearray) -> tuple[bytes, list[int]]:
    """All that can be read now, in reads of the buffer's size, and what each of them gave."""
    read, counts = b"", []
    with contextlib.suppress(ssl.SSLWantReadError):
        while True:
            count = reader.read(len(buffer), memoryview(buffer))
            counts.append(count)
            read += buffer[:count]
            if not count:
                break
    return read, counts


@given(
    records=st.lists(SIZES, min_size=1, max_size=40),
    cut=st.integers(1, 60_000),
    room=st.sampled_from([1, 100, PIECE, PIECE + 1, 4 * PIECE, 65_536]),
)
def test_bytes_are_those_of_the_records(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], records: list[int], cut: int, room: int
) -> None:
    """However records are sized, cut on the way and read: every byte once, in order; then none."""
    session = connect(contexts)
    text = b"".join(bytes([n % 251]) * size for n, size in enumerate(records))
    position = 0
    for size in records:
        session.sender.write(text[position : position + size])
        position += size
    with contextlib.suppress(ssl.SSLWantReadError):
        session.sender.unwrap()
    wire, buffer, read, ended = session.sent.read(), bytearray(room), b"", False
    for start in range(0, len(wire), cut):
        session.incoming.write(wire[start : start + cut])
        more, counts = drain(session.reader, buffer)
        read += more
        assert max(counts, default=0) <= room
        ended = 0 in counts
    assert read == text
    assert ended
    assert session.reader.read(len(buffer), memoryview(buffer)) == 0


def test_a_read_takes_many_small_records(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Else an event loop would have to ask for each."""
    session = connect(contexts)
    assert isinstance(session.reader, RecordReader)
    for _ in range(PIECES):
        session.sender.write(b"a line\n")
    session.incoming.write(session.sent.read())
    assert drain(session.reader, bytearray(65_536))[1] == [7 * PIECES]


def test_a_broken_record_is_told_after_what_came_before(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Lines that arrived whole are not lost with the connection."""
    session = connect(contexts)
    for n in range(10):
        session.sender.write(b"line %d\n" % n)
    good = session.sent.read()
    session.sender.write(b"never\n")
    broken = bytearray(session.sent.read())
    broken[-1] ^= 1
    session.incoming.write(good + broken)
    buffer = bytearray(65_536)
    count = session.reader.read(len(buffer), memoryview(buffer))
    assert buffer[:count] == b"".join(b"line %d\n" % n for n in range(10))
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        session.reader.read(len(buffer), memoryview(buffer))
