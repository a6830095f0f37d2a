"""What HTTP receivers are sent, and what their answers mean: one class for each kind. Pure."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson
from confluent_kafka import Message

from app.deliver.destination import UnreachableError
from app.deliver.http_exchange import FOR_GOOD, REASON

SET_UP: Final = frozenset({7, 10, 11, 14, 16})
"""Codes of the HTTP Event Collector that its 400 has for how the token or the delivery is set up:
index not allowed; indexer acknowledgement on (no channel, a wrong one) or off; no query strings."""
BLAMING: Final = frozenset({6, 12, 13, 15})
"""Those about one event: invalid data, no event, an empty one, indexed fields."""
OF_THE_INDEX: Final = frozenset({"index_closed_exception", "invalid_index_name_exception"})
"""Errors that the bulk interface has with 400 and that are no document's fault."""
_BREAKS = re.compile(rb"[\r\n]+")


class Requests:
    """Records as a list of JSON texts; the rest is for subclasses."""

    path = ""
    """Behind the address."""
    content_type = "application/json"
    scheme = "Bearer"
    """Of the token in `Authorization`."""
    headers: Mapping[str, str] = {}

    def body(self, messages: Sequence[Message]) -> bytes:
        """One request for all of them."""
        return b"[" + b",".join(map(Message.value, messages)) + b"]"

    def refused(self, answer: bytes, messages: Sequence[Message]) -> dict[int, str]:
        """Places and reasons of those that an answer of 2xx refuses for good.

        Raises UnreachableError if any have to be sent again.
        """
        del answer, messages
        return {}

    def of_records(self, answer: bytes) -> bool:
        """Whether an answer of FOR_GOOD is about records, and not about how the receiver or the
        delivery is set up, which refuses every record until somebody mends it."""
        del answer
        return True

    def blamed(self, answer: bytes) -> int | None:
        """The place of the one record that an answer of 4xx is about, if it says so."""
        del answer
        return None


@dataclass(frozen=True)
class Array(Requests):
    """A JSON array."""

    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lines(Requests):
    """A record a line; line breaks in one become blanks."""

    headers: Mapping[str, str] = field(default_factory=dict)
    content_type = "application/x-ndjson"

    def body(self, messages: Sequence[Message]) -> bytes:
        """One request for all of them."""
        return b"".join(_line(value) for value in map(Message.value, messages))


@dataclass(frozen=True)
class ElasticBulk(Requests):
    """Elasticsearch's and OpenSearch's bulk interface.

    `create` under an id that is made of the record: what is sent again is there already (409).
    """

    index: str
    content_type = "application/x-ndjson"
    scheme = "ApiKey"

    @property
    def path(self) -> str:  # type: ignore[override]
        """Of the index or data stream."""
        return f"/{quote(self.index, safe='')}/_bulk"

    def body(self, messages: Sequence[Message]) -> bytes:
        """An action and a document for each."""
        return b"".join(
            b'{"create":{"_id":"%b"}}\n%b' % (identity(message), _line(message.value()))
            for message in messages
        )

    def refused(self, answer: bytes, messages: Sequence[Message]) -> dict[int, str]:
        """Items with an error of their own."""
        try:
            found = orjson.loads(answer)
            if not found["errors"]:
                return {}
            items = [each["create"] for each in found["items"]]
            statuses = [int(each["status"]) for each in items]
        except (ValueError, KeyError, TypeError):
            raise UnreachableError("its answer is none of the bulk interface") from None
        if len(items) != len(messages):
            raise UnreachableError(f"it answers for {len(items)} of {len(messages)} records")
        failed = {
            number: each
            for number, (each, status) in enumerate(zip(items, statuses, strict=True))
            if not 200 <= status < 300 and status != 409
        }
        again = [each for each in failed.values() if not _of_the_document(each)]
        if again:
            text = f"{len(again)} records are to be sent again: {_elastic_reason(again[0])}"
            raise UnreachableError(text)
        return {number: _elastic_reason(each) for number, each in failed.items()}


@dataclass(frozen=True)
class SplunkHec(Requests):
    """Splunk's HTTP Event Collector. `fields`: index, source, sourcetype and host where set."""

    fields: Mapping[str, str]
    json: bool
    path = "/services/collector/event"
    scheme = "Splunk"

    def body(self, messages: Sequence[Message]) -> bytes:
        """An object for each, one behind the other."""
        head = orjson.dumps(dict(self.fields))[:-1] + (b"," if self.fields else b"")
        return b"\n".join(
            b'%b"time":%d.%03d,"event":%b}'
            % (head, *divmod(max(0, message.timestamp()[1]), 1000), self._event(message.value()))
            for message in messages
        )

    def _event(self, value: bytes) -> bytes:
        return value if self.json else orjson.dumps(value.decode("utf-8", "replace"))

    def refused(self, answer: bytes, messages: Sequence[Message]) -> dict[int, str]:
        """None: it takes all or says which."""
        del messages
        if _number(answer, "code") != 0:
            raise UnreachableError("its answer is none of the HTTP Event Collector")
        return {}

    def of_records(self, answer: bytes) -> bool:
        """Not what the collector would answer to any record."""
        return _number(answer, "code") not in SET_UP

    def blamed(self, answer: bytes) -> int | None:
        """Events count from 0."""
        blaming = _number(answer, "code") in BLAMING
        return _number(answer, "invalid-event-number") if blaming else None


@dataclass(frozen=True)
class AzureLogs(Requests):
    """Azure Monitor's Logs Ingestion API: the stream of a data collection rule."""

    rule: str
    stream: str

    @property
    def path(self) -> str:  # type: ignore[override]
        """Of the stream."""
        rule, stream = quote(self.rule, safe=""), quote(self.stream, safe="")
        return f"/dataCollectionRules/{rule}/streams/{stream}?api-version=2023-01-01"


def identity(message: Message) -> bytes:
    """Twenty characters that a record has whenever it is sent, and no other."""
    place = b"%b/%d/%d/" % (message.topic().encode(), message.partition(), message.offset())
    digest = hashlib.blake2b(place + message.value(), digest_size=15)
    return urlsafe_b64encode(digest.digest())


def _line(value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value:
        value = _BREAKS.sub(b" ", value)
    return value + b"\n"


def _number(answer: bytes, name: str) -> int | None:
    try:
        found = orjson.loads(answer)
    except ValueError:
        return None
    number = found.get(name) if isinstance(found, dict) else None
    return number if isinstance(number, int) else None


def _of_the_document(item: Mapping[str, Any]) -> bool:
    """Whether an item of the bulk interface was refused for what is in the document, and not for
    rights, load, or an index that is not there, is closed or takes nothing (403: a full disk)."""
    error = item.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    return int(item["status"]) in FOR_GOOD and kind not in OF_THE_INDEX


def _elastic_reason(item: Mapping[str, Any]) -> str:
    error = item.get("error")
    if isinstance(error, dict):
        cause = error.get("caused_by")
        why = f"; {cause.get('reason')}" if isinstance(cause, dict) else ""
        return f"{item['status']} {error.get('type')}: {error.get('reason')}{why}"[:REASON]
    return f"{item['status']} {error}"[:REASON]
