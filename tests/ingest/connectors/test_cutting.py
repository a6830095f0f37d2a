"""Lines of a file are those of the framer of streams, wherever reading stops and goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.connectors.cutting import cut
from app.ingest.framing import Framer, Oversize

TEXT = st.lists(
    st.one_of(
        st.sampled_from([b"\n", b"\r\n", b"\0\n", b"\n\n"]),
        st.text("aö€\0\r", max_size=12).map(str.encode),
    ),
    max_size=30,
).map(b"".join)


@given(
    data=TEXT,
    limit=st.integers(1, 9),
    oversize=st.sampled_from(["split", "truncate"]),
    steps=st.lists(st.integers(0, 20), min_size=1, max_size=30),
)
def test_lines_are_those_of_the_framer(
    data: bytes, limit: int, oversize: Oversize, steps: list[int]
) -> None:
    """Read in blocks of any size, a file gives the lines and counts that one stream would."""
    data += b"\n"  # the framer counts what it drops of a line only when that goes on
    framer = Framer("lf", limit=limit, oversize=oversize)
    wanted = framer.feed(data)
    lines: list[bytes] = []
    empty = over = dropped = place = end = 0
    inside = False
    for step in [*steps, len(data)]:
        end = min(len(data), end + step)
        while True:
            found = cut(data[place:end], limit, oversize, inside=inside)
            lines += found.lines
            empty, over = empty + found.empty, over + found.oversize
            dropped += found.dropped
            place, inside = place + found.used, found.inside
            if not found.used:
                break
    assert lines == wanted
    assert (empty, over, dropped) == (framer.empty, framer.oversize, framer.dropped)
    assert len(data) - place <= limit


@pytest.mark.parametrize("oversize", ["split", "truncate"])
def test_a_line_without_its_end_waits(oversize: Oversize) -> None:
    """Only a line feed ends a line; what is above the limit does not wait in memory."""
    found = cut(b"one\ntwo\nthr", 8, oversize)
    assert (found.lines, found.used) == ([b"one", b"two"], 8)
    found = cut(b"x" * 20, 8, oversize)
    assert found.inside
    assert found.lines == ([b"x" * 8] * 2 if oversize == "split" else [b"x" * 8])
    assert (found.used, found.dropped) == ((16, 0) if oversize == "split" else (20, 12))
