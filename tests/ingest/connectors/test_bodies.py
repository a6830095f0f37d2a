"""Bodies of HTTP requests: gzip in any form, and never more of it in memory than is allowed."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.connectors.bodies import BodyError, TooLargeError, inflate, lines_of
from app.ingest.framing import Framer


@given(parts=st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_gzip_of_several_parts(parts: list[bytes]) -> None:
    """RFC 1952 allows parts one after the other; they are one body."""
    body = b"".join(map(gzip.compress, parts))
    whole = b"".join(parts)
    assert inflate(body, len(whole)) == whole
    if whole:
        with pytest.raises(TooLargeError, match="when inflated"):
            inflate(body, len(whole) - 1)


@given(data=st.binary(max_size=300), cut=st.integers(1, 20))
def test_gzip_that_is_cut(data: bytes, cut: int) -> None:
    """Half a gzip body is an error, never half its lines."""
    body = gzip.compress(data)[:-cut]
    with pytest.raises(BodyError):
        inflate(body, 1_000)


@pytest.mark.parametrize(
    "body",
    [b"\x00" * 50, b"{}", gzip.compress(b"a", mtime=0) + b"rest"],
    ids=["zeros", "json", "rest"],
)
def test_what_is_no_gzip(body: bytes) -> None:
    """Other bytes, before or behind, are an error."""
    with pytest.raises(BodyError, match="gzip"):
        inflate(body, 1_000)


def test_a_zip_bomb_takes_no_memory() -> None:
    """A gigabyte of zeros in a megabyte is refused having inflated no more than is allowed."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1_024)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        inflate(bomb, 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    with pytest.raises(BodyError, match="parts"):
        inflate(gzip.compress(b"") * 2_000, 1_000)


@given(data=st.binary(max_size=200), limit=st.integers(1, 50))
def test_lines_are_those_of_a_stream(data: bytes, limit: int) -> None:
    """A body is cut like a connection that ends with it."""
    framer = Framer("lf", limit=limit, oversize="split")
    wanted = framer.feed(data) + framer.end()
    found = lines_of(gzip.compress(data), "lines", limit, "split", inflated=200)
    assert (found.lines, found.empty, found.oversize) == (wanted, framer.empty, framer.oversize)


def test_a_whole_body() -> None:
    """With body: whole nothing of a body is cut off but what is above the limit."""
    assert lines_of(b"a\nb\r\n", "whole", 10, "truncate").lines == [b"a\nb\r\n"]
    assert lines_of(b"", "whole", 10, "truncate") == ([], 1, 0, 0)
    assert lines_of(b"abcde", "whole", 2, "truncate") == ([b"ab"], 0, 1, 3)
    assert lines_of(b"abcde", "whole", 2, "split") == ([b"ab", b"cd", b"e"], 0, 1, 0)
