"""RELP sessions without a network: any chunking, malformed conversations, oversize, wrap-around."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.framing import Oversize
from app.ingest.relp_session import LARGEST_DATA, LAST_TXNR, Answer, Session, accepted

OFFER = b"relp_version=0\nrelp_software=t\ncommands=syslog"
OPEN = b"1 open %d %b\n" % (len(OFFER), OFFER)
GOODBYE = b"0 serverclose 0\n"


def syslog(txnr: int, text: bytes) -> bytes:
    return b"%d syslog %d%b\n" % (txnr, len(text), b" " + text if text else b"")


def converse(session: Session, pieces: Iterable[bytes]) -> tuple[list[bytes], bytes, bool]:
    """Messages, all answers as one, and whether the session ended."""
    lines: list[bytes] = []
    answers = b""
    ended = False
    for piece in pieces:
        for step in session.feed(piece):
            assert not ended
            if isinstance(step, Answer):
                answers += step.data
                ended = step.last
            else:
                lines += step.lines
                answers += accepted(step.numbers)
    return lines, answers, ended


TEXTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"a\nb", b"\n", b"x\n3 syslog 5 hello\n", b"<13>" + b"y" * 300, b"\0"]),
)
TAILS = st.sampled_from(
    [b"", b"x", b"9 close 0\n", b"1 syslog 3 abc\n", b"7 sys", b"5 syslog 0 \n"]
)


@given(
    texts=st.lists(TEXTS, max_size=12),
    tail=TAILS,
    cuts=st.lists(st.integers(0, 1 << 14), max_size=30),
    limit=st.sampled_from([1, 7, 100, 1 << 20]),
    oversize=st.sampled_from(["split", "truncate"]),
)
def test_any_chunking_gives_the_same_conversation(
    texts: list[bytes], tail: bytes, cuts: list[int], limit: int, oversize: Oversize
) -> None:
    """However the network cuts the bytes, messages, answers and counters are the same."""
    wire = OPEN + b"".join(syslog(n, text) for n, text in enumerate(texts, 2)) + tail
    edges = [0, *sorted({cut % (len(wire) + 1) for cut in cuts} - {0, len(wire)}), len(wire)]
    results = []
    for pieces in (
        [wire],
        [wire[a:b] for a, b in itertools.pairwise(edges)],
        [wire[i : i + 1] for i in range(len(wire))],
    ):
        session = Session(limit=limit, oversize=oversize)
        found = converse(session, pieces)
        counters = (session.empty, session.oversize, session.dropped, session.malformed)
        results.append((*found, counters, bool(session.fault)))
    assert results[0] == results[1] == results[2]
    assert b"".join(texts).startswith(b"".join(results[0][0])) or oversize == "truncate"


@given(st.binary(max_size=200))
def test_no_bytes_crash_a_session(data: bytes) -> None:
    """Whatever comes is answered, held or refused; nothing is raised."""
    converse(Session(), [data])
    converse(Session(), [OPEN, data])


@pytest.mark.parametrize(
    ("wire", "lines", "answers", "ended"),
    [
        (b"2 open 0\n", [], GOODBYE, True),
        (OPEN + b"3 syslog 1 x\n", [], GOODBYE, True),
        (OPEN + b"2 syslog 1 x\n2 syslog 1 y\n", [b"x"], b"2 rsp 6 200 OK\n" + GOODBYE, True),
        (OPEN + b"2 syslog 1 xy\n", [], GOODBYE, True),
        (OPEN + b"2 syslog 0 \n", [], GOODBYE, True),
        (OPEN + b"2 syslog 999999999 x", [], GOODBYE, True),
        (OPEN + b"2 foobar 0\n", [], GOODBYE, True),
        (OPEN + b"0 syslog 1 x\n", [], GOODBYE, True),
        (OPEN + b"2 syslog 5 ab", [], b"", False),
        (OPEN + b"2 close 0\n3 syslog 1 x\n", [], b"2 rsp 0\n" + GOODBYE, True),
        (OPEN + b"2 open 15 commands=syslog\n", [], b"2 rsp 23 500 the session is open\n", True),
        (OPEN + b"2 syslog 0\n3 syslog 1 x\n", [b"x"], accepted([b"2", b"3"]), False),
        (OPEN + b"1234567890", [], GOODBYE, True),
    ],
)
def test_conversations(wire: bytes, lines: list[bytes], answers: bytes, ended: bool) -> None:
    """Each fault ends the session with serverclose, after what came before it was answered."""
    session = Session()
    found = converse(session, [wire])
    assert found[0] == lines
    assert answers in found[1]
    assert found[2] == ended
    assert bool(session.fault) == (ended and b"close" not in wire)


def test_transactions_wrap_around() -> None:
    """After 999,999,999 comes 1."""
    session = Session()
    session.feed(OPEN)
    session._expected = LAST_TXNR - 1
    wire = b"".join(syslog(n, b"m") for n in (LAST_TXNR - 1, LAST_TXNR, 1, 2))
    lines, answers, ended = converse(session, [wire])
    assert (len(lines), ended) == (4, False)
    assert answers.endswith(b"999999999 rsp 6 200 OK\n1 rsp 6 200 OK\n2 rsp 6 200 OK\n")


def test_oversize_messages() -> None:
    """Truncated or split, an oversize message is one transaction, and what is cut is counted."""
    wire = OPEN + syslog(2, b"a" * 25) + syslog(3, b"b")
    session = Session(limit=10)
    assert converse(session, [wire])[0] == [b"a" * 10, b"b"]
    assert (session.oversize, session.dropped) == (1, 15)
    session = Session(limit=10, oversize="split")
    assert converse(session, [wire])[0] == [b"a" * 10, b"a" * 10, b"a" * 5, b"b"]
    assert (session.oversize, session.dropped) == (1, 0)
    assert LARGEST_DATA < 999_999_999


@pytest.mark.parametrize("command", [b"1 open", b"1 syslog", b"1 hello"])
def test_strangers_are_not_listened_to_for_long(command: bytes) -> None:
    """Before `open`, and for what is no message, little is held: anybody who connects could fill
    the memory."""
    session = Session()
    (answer,) = session.feed(command + b" 1000000 x")
    assert isinstance(answer, Answer)
    assert (answer.data, answer.last) == (GOODBYE, True)
    assert "1000000 is above" in session.fault
    assert converse(Session(), [command + b" 100000 ", b"x" * 99_999])[2] is False


def test_a_refused_message_is_answered_with_500() -> None:
    """What Kafka will never take is not answered with 200; its neighbours are."""
    answers = accepted([b"5", b"6", b"7"], {1}).split(b"\n")
    assert [answer[:9] for answer in answers[:3]] == [b"5 rsp 6 2", b"6 rsp 26 ", b"7 rsp 6 2"]
