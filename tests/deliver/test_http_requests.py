"""What HTTP receivers are sent, and what is made of their answers."""

import datetime as dt
from email.utils import format_datetime

import orjson
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from hypothesis import given
from hypothesis import strategies as st

from app.deliver.destination import UnreachableError
from app.deliver.http import _cut
from app.deliver.http_exchange import _retry_after
from app.deliver.http_requests import Array, ElasticBulk, Lines, SplunkHec, identity


def message(value: bytes, offset: int = 0, topic: str = "t") -> Message:
    stamp = (TIMESTAMP_CREATE_TIME, 1_764_232_869_007)
    return Message(topic=topic, partition=0, offset=offset, value=value, timestamp=stamp)


def test_arrays_and_lines() -> None:
    """The records' own bytes in an array, or a line each."""
    messages = [message(b'{"a":1}'), message(b'{"b":\n2}')]
    assert orjson.loads(Array().body(messages)) == [{"a": 1}, {"b": 2}]
    assert Lines().body(messages).splitlines() == [b'{"a":1}', b'{"b": 2}']


def test_events_of_splunk() -> None:
    """JSON as it is, other formats as text, whatever octets they have."""
    made = SplunkHec({"index": "main"}, json=True).body([message(b'{"a":1}')])
    assert orjson.loads(made) == {"index": "main", "time": 1764232869.007, "event": {"a": 1}}
    made = SplunkHec({}, json=False).body([message(b'CEF:0|"\xff')])
    assert orjson.loads(made) == {"time": 1764232869.007, "event": 'CEF:0|"\ufffd'}


def test_identity() -> None:
    """A record has one name however often it is sent; another place or content has another."""
    first = identity(message(b"{}"))
    assert first == identity(message(b"{}"))
    others = [message(b"{}", 1), message(b"{ }"), message(b"{}", topic="u")]
    assert len({first, *map(identity, others)}) == 4


def bulk(*statuses: int, count: int | None = None) -> dict[int, str]:
    items = [
        {"create": {"status": each, "error": {"type": "t", "reason": f"r{each}"}}}
        for each in statuses
    ]
    answer = orjson.dumps({"errors": True, "items": items})
    return ElasticBulk("i").refused(answer, [message(b"{}")] * (count or len(statuses)))


def test_items_of_a_bulk_answer() -> None:
    """What is there already (409) is delivered; what a document is to blame for (400) is
    refused, with its reason."""
    assert bulk(201, 409, 400, 200) == {2: "400 t: r400"}


@pytest.mark.parametrize("statuses", [(201, 429), (503, 201), (400, 500)])
def test_items_to_be_sent_again(statuses: tuple[int, ...]) -> None:
    """One item that was not taken for now sends all again; those that were are there then."""
    with pytest.raises(UnreachableError, match="sent again"):
        bulk(*statuses)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "security_exception"),
        (403, "security_exception"),
        (403, "cluster_block_exception"),
        (404, "index_not_found_exception"),
        (400, "index_closed_exception"),
    ],
)
def test_items_that_no_document_is_to_blame_for(status: int, kind: str) -> None:
    """Rights that are missing, a disk that is full, an index that is not there or closed: whatever
    is sent is refused until somebody mends it, so nothing of it is given up."""
    items = [{"create": {"status": status, "error": {"type": kind, "reason": "why"}}}]
    answer = orjson.dumps({"errors": True, "items": items})
    with pytest.raises(UnreachableError, match=f"sent again: {status} {kind}: why"):
        ElasticBulk("i").refused(answer, [message(b"{}")])


@pytest.mark.parametrize(
    ("code", "of_records", "blamed"),
    [(6, True, 3), (12, True, 3), (7, False, None), (10, False, None), (14, False, None)],
)
def test_what_the_collector_says_of_a_request(
    code: int, of_records: bool, blamed: int | None
) -> None:
    """Its 400 may be about an event, or about the token's indexes and acknowledgement, which would
    refuse every event there is."""
    answer = orjson.dumps({"text": "text", "code": code, "invalid-event-number": 3})
    collector = SplunkHec({}, json=True)
    assert (collector.of_records(answer), collector.blamed(answer)) == (of_records, blamed)


@pytest.mark.parametrize("answer", [b"", b"<html>", b'{"code":[]}', b'{"code":"7"}'])
def test_what_others_say_of_a_request(answer: bytes) -> None:
    """A proxy's 413 is about its size."""
    collector = SplunkHec({}, json=True)
    assert collector.of_records(answer)
    assert collector.blamed(answer) is None


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"errors":true,"items":[{}]}'])
def test_what_is_no_bulk_answer(answer: bytes) -> None:
    """A proxy's 200 is no delivery."""
    with pytest.raises(UnreachableError):
        ElasticBulk("i").refused(answer, [message(b"{}")])
    with pytest.raises(UnreachableError):
        SplunkHec({}, json=True).refused(answer, [message(b"{}")])


def test_an_answer_for_fewer() -> None:
    """Nothing counts as delivered by an answer that leaves records out."""
    with pytest.raises(UnreachableError, match="1 of 2"):
        bulk(400, count=2)


@given(st.lists(st.integers(1, 100), max_size=40), st.integers(1, 200))
def test_batches_are_cut(sizes: list[int], most: int) -> None:
    """Every record is in one part, in order; only a part of one record is larger than allowed."""
    batch = [message(b"x" * size, number) for number, size in enumerate(sizes)]
    parts = list(_cut(batch, most))
    assert [each.offset() for part in parts for each in part] == list(range(len(sizes)))
    assert all(len(part) == 1 or sum(len(e.value()) for e in part) <= most for part in parts)


def test_retry_after() -> None:
    """Seconds or a date (RFC 9110); nonsense and the past are no wait, a century is an hour."""
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    told = _retry_after(format_datetime(soon, usegmt=True))
    passed = 100 - (soon - dt.datetime.now(dt.UTC)).total_seconds()
    assert 99 - passed <= told <= 100  # a date has whole seconds
    assert _retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert [_retry_after(text) for text in ("7", "-1", "soon", None)] == [7, 0, 0, 0]
    assert _retry_after("3000000000") == 3600
