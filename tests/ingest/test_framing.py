"""Framing of stream connections: RFC 6587 in both forms, any chunking, no lost byte."""

import base64
import itertools
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from app.cli import app
from app.ingest.framing import LARGEST_COUNT, Framer, Mode, Oversize, frames

A1 = b"<13>Oct 11 22:14:15 h app: a1"
A2 = b"<13>Oct 11 22:14:15 h app: a2"


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


# Bytes that look like counts, messages and trailers, so that every decision is met at every cut.
TOKENS = st.one_of(
    st.sampled_from([A1 + b"\n", counted(A1), counted(A2), b"\n", b"\0", b"\r\n", b" ", b"0 <1>"]),
    st.sampled_from([b"7 <1>abc", b"12 <html>\n", b"2024-01-02T x\n", b'9 {"a":"b"}', b"\0<13>x"]),
    st.binary(max_size=12),
    st.text(alphabet='0123456789 <>\n\r\0{"CELF:a', max_size=20).map(str.encode),
    st.binary(max_size=60).map(counted),
)
STREAMS = st.lists(TOKENS, max_size=25).map(b"".join)
MODES = st.sampled_from(["auto", "lf", "octet", "nul"])


def chunks(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts} - {0, len(data)}), len(data)]
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


def run(framer: Framer, pieces: Iterator[bytes]) -> tuple[object, ...]:
    out = [frame for piece in pieces for frame in framer.feed(piece)]
    out += framer.end()
    counters = (framer.empty, framer.oversize, framer.dropped, framer.malformed)
    return out, counters, bool(framer.error), framer.remainder


@given(
    data=STREAMS,
    mode=MODES,
    cuts=st.lists(st.integers(0, 1 << 16), max_size=40),
    limit=st.sampled_from([1, 2, 7, 16, 30, 1 << 20]),
    oversize=st.sampled_from(["split", "truncate"]),
)
def test_any_chunking_gives_the_same_frames(
    data: bytes, mode: Mode, cuts: list[int], limit: int, oversize: Oversize
) -> None:
    """However the network cuts the bytes, frames, counters and the remainder are the same."""
    whole = run(Framer(mode, limit=limit, oversize=oversize), iter([data]))
    assert whole == run(Framer(mode, limit=limit, oversize=oversize), chunks(data, cuts))
    by_byte = (data[i : i + 1] for i in range(len(data)))
    assert whole == run(Framer(mode, limit=limit, oversize=oversize), by_byte)


@given(data=STREAMS, mode=MODES, limit=st.sampled_from([5, 40, 1 << 20]))
def test_no_byte_is_lost(data: bytes, mode: Mode, limit: int) -> None:
    """Frames and remainder hold every byte, in order, but for counts and trailers."""
    framer = Framer(mode, limit=limit)
    found = framer.feed(data) + framer.end()
    gap = rb"[\r\n\0]*(?: ?[0-9]{1,10} )?" if mode in ("auto", "octet") else rb"[\r\n\0]*"
    pieces = [gap + re.escape(frame) for frame in [*found, framer.remainder]]
    assert re.fullmatch(b"".join(pieces) + rb"[\r\n\0]*", data, re.DOTALL), found


@given(messages=st.lists(st.binary(min_size=1).map(lambda b: b"<13>" + b), max_size=20))
def test_counted_messages_come_back_exactly(messages: list[bytes]) -> None:
    """Counted messages keep every byte, line feeds and NULs included."""
    data = b"".join(map(counted, messages))
    assert messages == frames(data)
    assert messages == frames(data, "octet")


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 3000).map(lambda n: A1 + b"x" * n)), max_size=30
    )
)
def test_both_framings_mix_on_one_connection(messages: list[tuple[bool, bytes]]) -> None:
    """Each frame is recognised for itself, whatever the one before it was."""
    data = b"".join(counted(m) if octet else m + b"\n" for octet, m in messages)
    assert [m for _, m in messages] == frames(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"2024-01-02T03:04:05 no PRI\n" + A2 + b"\n", [b"2024-01-02T03:04:05 no PRI", A2]),
        (b"42 is the answer\n" + A2 + b"\n", [b"42 is the answer", A2]),
        (b"404 <html>\n" + A2 + b"\n", [b"404 <html>", A2]),
        (b"12345678901 <1>x\n" + A2 + b"\n", [b"12345678901 <1>x", A2]),
        (b"0 <1>x\n" + A2 + b"\n", [b"0 <1>x", A2]),
        (b"%d <1>x\n%s\n" % (LARGEST_COUNT + 1, A2), [b"%d <1>x" % (LARGEST_COUNT + 1), A2]),
        (b"29<13>Oct 11\n" + A2 + b"\n", [b"29<13>Oct 11", A2]),
    ],
)
def test_a_line_that_starts_with_digits_is_no_count(data: bytes, expected: list[bytes]) -> None:
    """A plain line that starts with digits is one message and so is its neighbour."""
    assert expected == frames(data)
    assert expected == frames(A1 + b"\n" + data)[1:]


@pytest.mark.parametrize(
    ("mode", "data", "expected"),
    [
        ("auto", A1 + b"\r\n" + A2 + b"\r\n", [A1, A2]),
        ("auto", A1 + b"\0\n" + A2 + b"\0\n", [A1, A2]),
        ("auto", A1 + b"\0" + A2 + b"\0", [A1, A2]),
        ("auto", b"<13>a\0b\n" + A2 + b"\n", [b"<13>a\0b", A2]),
        ("auto", b"\n\n" + A1 + b"\n\r\n\n" + A2 + b"\n\n", [A1, A2]),
        ("auto", A1 + b"\n" + A2, [A1, A2]),
        ("auto", b"29", [b"29"]),
        ("auto", counted(A1) + b"\n" + counted(A2) + b"\r\n", [A1, A2]),
        ("auto", counted(A1) + b"\0" + counted(A2), [A1, A2]),
        ("auto", counted(A1) + b" " + counted(A2), [A1, A2]),
        ("auto", counted(b'{"a": 1}') + counted(b"CEF:0|"), [b'{"a": 1}', b"CEF:0|"]),
        ("auto", counted(A1) + counted(b"\x80junk") + counted(A2), [A1, b"\x80junk", A2]),
        ("auto", counted(A1) + b"42 is the answer\n" + A2, [A1, b"42 is the answer", A2]),
        ("auto", A1 + b"\n" + counted(A1) + b"5 are here\n", [A1, A1, b"5 are here"]),
        ("octet", counted(A1) + b"\n" + counted(A2), [A1, A2]),
        ("octet", counted(b"no PRI") + counted(b"x\n"), [b"no PRI", b"x\n"]),
        ("lf", counted(A1) + b"\n" + A2 + b"\n", [counted(A1), A2]),
        ("lf", b"a\0b\n", [b"a\0b"]),
        ("nul", b"a\nb\0\n" + A2 + b"\0", [b"a\nb", A2]),
    ],
)
def test_trailers(mode: Mode, data: bytes, expected: list[bytes]) -> None:
    """Every trailer that senders use ends a message and is no part of it."""
    assert expected == frames(data, mode)


@pytest.mark.parametrize("mode", ["auto", "octet"])
def test_a_counted_message_that_is_cut_off_is_kept_apart(mode: Mode) -> None:
    """A connection that ends inside a counted message leaves its bytes in `remainder`."""
    framer = Framer(mode)
    assert framer.feed(counted(A1) + counted(A2)[:-1]) == [A1]
    assert framer.end() == []
    assert framer.remainder == counted(A2)[:-1]
    assert framer.malformed == 1


def test_a_count_beyond_the_end_does_not_swallow_lines() -> None:
    """Lines behind a count that the connection never fulfils come out as lines at its end."""
    data = b"9000 <13>no count\n" + A1 + b"\n" + counted(A2)
    assert frames(data) == [b"9000 <13>no count", A1, A2]


def test_a_fault_in_counted_mode_ends_the_stream() -> None:
    """In mode octet nothing after a wrong count is trusted; its bytes are kept."""
    framer = Framer("octet")
    assert framer.feed(counted(A1) + b"xaaa") == [A1]
    assert "expected a count" in framer.error
    assert framer.feed(b"more") == []
    assert framer.end() == []
    assert framer.remainder == b"xaaamore"


def test_oversize_split_keeps_every_byte() -> None:
    """A message above the limit comes in pieces; nothing of it is missing."""
    framer = Framer("auto", limit=10)
    out = framer.feed(b"a" * 25 + b"\n" + counted(b"<13>" + b"b" * 20) + b"c\n")
    assert out == [b"a" * 10, b"a" * 10, b"a" * 5, b"<13>bbbbbb", b"b" * 10, b"bbbb", b"c"]
    assert (framer.oversize, framer.dropped) == (2, 0)


def test_oversize_truncate_counts_what_it_cuts() -> None:
    """With truncate one message stays one message; the bytes cut from it are counted."""
    framer = Framer("auto", limit=10, oversize="truncate")
    out = framer.feed(b"a" * 25 + b"\n" + counted(b"<13>" + b"b" * 20) + b"c\n")
    assert out == [b"a" * 10, b"<13>bbbbbb", b"c"]
    assert (framer.oversize, framer.dropped) == (2, 15 + 14)


def test_a_flood_without_a_line_end_keeps_memory_at_the_limit() -> None:
    """100 MB without a newline never hold more than the limit; all of it comes out."""
    framer = Framer("auto", limit=1 << 20)
    chunk = b"x" * (1 << 18)
    total = 0
    for _ in range(400):
        total += sum(map(len, framer.feed(chunk)))
        assert len(framer._pending) <= (1 << 20) + 5
    total += sum(map(len, framer.end()))
    assert total == 400 * len(chunk)


def shared_vectors() -> list[dict[str, Any]]:
    """The shared vectors; none where they are not."""
    root = Path(os.environ.get("NORTHBOUND_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = root / "syslog_vectors.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def vectors() -> list[dict[str, Any]]:
    return [vector for vector in shared_vectors() if vector["format"] == "framing"]


def test_framing_vectors() -> None:
    """Every framing vector of tier must and should, as agreed by rsyslog, syslog-ng, go-syslog."""
    found = vectors()
    if not found:
        pytest.skip("syslog_vectors.jsonl is not there: set NORTHBOUND_DATA to its folder")
    failed = []
    for vector in found:
        framer = Framer(vector["mode"])  # type: ignore[arg-type]
        data = base64.b64decode(str(vector["input_b64"]))
        out = [frame.rstrip(b"\r\n") for frame in framer.feed(data) + framer.end()]
        expect = vector["expect"]
        assert isinstance(expect, dict)
        wanted = [base64.b64decode(f).rstrip(b"\r\n") for f in expect.get("frames_b64", ())]
        must = [base64.b64decode(f).rstrip(b"\r\n") for f in expect.get("must_include_b64", ())]
        good = ("frames_b64" not in expect or out == wanted) and all(m in out for m in must)
        if "framing_error" in expect:
            good = good and bool(framer.error) == expect["framing_error"]
        if not good and vector["tier"] != "may":
            failed.append((vector["id"], vector["tier"], out))
    assert failed == []


def test_the_command_frames_like_the_vectors() -> None:
    """`northbound parse --framing MODE --output frames` prints each frame in base64, in order; its
    status says whether there was a fault."""
    found = [each for each in vectors() if each["tier"] == "must"]
    if not found:
        pytest.skip("syslog_vectors.jsonl is not there: set NORTHBOUND_DATA to its folder")
    failed = []
    for vector in found:
        options = vector.get("options", {})
        assert isinstance(options, dict)
        argv = ["parse", "--framing", str(vector["mode"]), "--output", "frames"]
        argv += [f"--option={name}={value}" for name, value in options.items()]
        done = CliRunner().invoke(app, argv, input=base64.b64decode(str(vector["input_b64"])))
        out = [base64.b64decode(line).rstrip(b"\r\n") for line in done.stdout.splitlines()]
        expect = vector["expect"]
        assert isinstance(expect, dict)
        wanted = [base64.b64decode(f).rstrip(b"\r\n") for f in expect.get("frames_b64", ())]
        faulty = "framing:" in done.stderr
        assert done.exit_code == (faulty and vector["mode"] == "octet")
        if out != wanted or faulty != expect.get("framing_error", faulty):
            failed.append((vector["id"], out, done.stderr))
    assert failed == []


@pytest.mark.parametrize(
    ("mode", "data", "expected", "fault"),
    [
        ("octet", b"9 <1>a0000017 <1>", [], True),
        ("octet", b"8 <1>a0000", [b"<1>a0000"], False),
        ("octet", b"8 <1>a0000nonsense\n", [b"<1>a0000"], True),
        ("octet", b"8 <1>a00008 <1>", [b"<1>a0000"], True),
        ("lf", b"<1>a000017\n<1>b\n", [b"<1>a0000", b"17", b"<1>b"], False),
        ("auto", b"10 <1>a000017", [b"<1>a0000", b"17"], False),
    ],
)
def test_the_command_bounds_messages(
    mode: str, data: bytes, expected: list[bytes], fault: bool
) -> None:
    """--option max=N: with octet a larger count is a fault, which the status says, too; else a
    larger message is split."""
    argv = ["parse", "--framing", mode, "--output", "frames", "--option", "max=8"]
    done = CliRunner().invoke(app, argv, input=data)
    assert done.exit_code == fault, done.output
    assert expected == [base64.b64decode(line) for line in done.stdout.splitlines()]
    assert fault == ("framing: " in done.stderr)


def test_many_trailers_at_once_hold_up_nobody() -> None:
    """Two megabytes of NULs and priorities, of one sender: time grows with the bytes and not with
    their square, or no other sender would be heard for half a minute."""
    count = 1 << 19
    begun = time.process_time()
    framer = Framer("auto")
    found = framer.feed(b"<1>" + b"\0<1>" * count) + framer.end()
    assert time.process_time() - begun < 10
    assert found == [b"<1>"] * (count + 1)
