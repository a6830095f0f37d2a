"""Records as syslog messages: what is in a frame, whatever a record holds."""

import re

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message
from hypothesis import given
from hypothesis import strategies as st

from app.deliver.destination import Feed
from app.deliver.syslog_messages import COUNTS, Parts, Syslog, lines, octet_counted
from app.ingest.framing import frames

VALUES = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=30)


def message(value: bytes, topic: str = "t", moment: int = 0) -> Message:
    return Message(topic=topic, value=value, timestamp=(TIMESTAMP_CREATE_TIME, moment))


def parts(values: list[bytes]) -> Parts:
    return Parts([b""] * len(values), values)


def whole(messages: Parts) -> list[bytes]:
    return [head + value for head, value in zip(*messages, strict=True)]


@given(VALUES)
def test_octet_counting_keeps_every_octet(values: list[bytes]) -> None:
    """Whatever a message holds, a receiver that counts octets has it whole."""
    assert frames(octet_counted(parts(values)), "octet") == values


def test_a_long_message_is_counted() -> None:
    """Longer than what counts are kept ready for."""
    values = [b"<1>1", b"x" * (len(COUNTS) + 5)]
    assert frames(octet_counted(parts(values)), "octet") == values


@given(VALUES)
def test_a_line_is_one_message(values: list[bytes]) -> None:
    """No line break of a message makes two of it, and nothing but line breaks is changed."""
    *found, end = lines(parts(values)).split(b"\n")
    assert end == b""
    assert found == [re.sub(rb"[\r\n]+", b" ", value) for value in values]


def test_headers() -> None:
    """A record of any format but rfc5424 is the MSG behind a header with the time of the record,
    the host and the feed."""
    feeds = [Feed("e", "events", "ocsf-json"), Feed("a", "alerts", "ocsf-json")]
    made = Syslog(feeds, "collector.example")(
        [message(b"{}", "e", 1_764_232_869_007), message(b"{1}", "a", 1_764_232_869_990)]
    )
    assert whole(made) == [
        b"<110>1 2025-11-27T08:41:09.007Z collector.example northbound - events - {}",
        b"<110>1 2025-11-27T08:41:09.990Z collector.example northbound - alerts - {1}",
    ]


def test_syslog_stays_as_it_is() -> None:
    """A record in the format rfc5424 is not wrapped once more."""
    value = b"<109>1 2025-11-27T08:41:09.007Z h a - m - {}"
    assert Syslog([Feed("t", "events", "rfc5424")], "x")([message(value)]).values == [value]
