"""RELP on the wire: commands as a strict server reads them, answers however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.deliver.destination import UnreachableError
from app.deliver.relp import Answers, commands
from app.deliver.syslog_messages import Parts
from app.ingest.relp_session import LAST_TXNR, OFFERS, Messages, Session

OPEN = b"1 open %d %b\n" % (len(OFFERS), OFFERS)


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=30))
def test_a_server_reads_every_message(values: list[bytes]) -> None:
    """Whatever a message holds, our own server has it, under the number that follows."""
    session = Session()
    steps = session.feed(OPEN + commands(2, Parts([b""] * len(values), values)))
    assert not session.fault
    found = [line for step in steps if isinstance(step, Messages) for line in step.lines]
    assert found == values


def test_numbers_begin_anew() -> None:
    """After 999,999,999 comes 1."""
    made = commands(LAST_TXNR - 1, Parts([b"h"] * 4, [b"a"] * 4))
    assert made.startswith(b"999999998 syslog 2 ha\n")
    numbers = [line.split(b" ")[0] for line in made.splitlines()]
    assert numbers == [b"999999998", b"999999999", b"1", b"2"]


ANSWER = st.sampled_from([b"200 OK", b"200", b"200 OK\nmore"])


@given(
    st.lists(ANSWER, min_size=1, max_size=40),
    st.integers(0, 50),
    st.lists(st.integers(1, 60), max_size=40),
)
def test_answers_are_counted(texts: list[bytes], before: int, cuts: list[int]) -> None:
    """However the octets are cut, each answer counts once, also where numbers begin anew."""
    first = LAST_TXNR - before
    numbers = [(first - 1 + more) % LAST_TXNR + 1 for more in range(len(texts))]
    data = b"".join(
        b"%d rsp %d %b\n" % (number, len(text), text)
        for number, text in zip(numbers, texts, strict=True)
    )
    answers = Answers(first)
    for size in [*cuts, len(data)]:
        answers.feed(data[:size])
        data = data[size:]
    assert answers.accepted == len(texts)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"2 rsp 6 200 OK\n3 rsp 9 500 error\n", "refuses message 3: 500 error"),
        (b"3 rsp 6 200 OK\n", "answers 3 where 2 is due"),
        (b"2 rsp 6 200 OK\n4 rsp 6 200 OK\n", "answers 4 where 3 is due"),
        (b"2 rsp 6 200 OK\n2 rsp 6 200 OK\n3 rsp 6 200 OK\n", "answers 3 where 4 is due"),
        (b"0 serverclose 0\n", "ends the session"),
        (b"2 syslog 1 a\n", "no RELP"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n", "no RELP"),
        (b"2 rsp 999999999 200 OK\n", "no RELP"),
        (b"2 rsp 7 2000 no\n", "refuses message 2"),
    ],
)
def test_what_is_no_answer(data: bytes, reason: str) -> None:
    """Anything but 200s in order ends the session, so that nothing counts that may be missing."""
    answers = Answers(2)
    with pytest.raises(UnreachableError, match=reason):
        answers.feed(data)
    assert answers.accepted <= 1
