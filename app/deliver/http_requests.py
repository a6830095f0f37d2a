"""What HTTP receivers are sent, and what their answers mean: one class for each kind. Pure."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
from confluent_kafka import Message

from app.deliver.destination import UnreachableError
from app.deliver.http_exchange import REASON

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
        again = [status for status in statuses if status == 429 or status >= 500]
        if again:
            raise UnreachableError(f"{len(again)} records are to be sent again: {again[0]}")
        return {
            number: _elastic_reason(each)
            for number, (each, status) in enumerate(zip(items, statuses, strict=True))
            if not 200 <= status < 300 and status != 409
        }


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
        if _field(answer, "code") != 0:
            raise UnreachableError("its answer is none of the HTTP Event Collector")
        return {}

    def blamed(self, answer: bytes) -> int | None:
        """Code 6, invalid data format, counts events from 0."""
        found = _field(answer, "invalid-event-number")
        return found if _field(answer, "code") == 6 and isinstance(found, int) else None


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


def _field(answer: bytes, name: str) -> Any:
    try:
        found = orjson.loads(answer)
    except ValueError:
        return None
    return found.get(name) if isinstance(found, dict) else None


def _elastic_reason(item: Mapping[str, Any]) -> str:
    error = item.get("error")
    if isinstance(error, dict):
        cause = error.get("caused_by")
        why = f"; {cause.get('reason')}" if isinstance(cause, dict) else ""
        return f"{item['status']} {error.get('type')}: {error.get('reason')}{why}"[:REASON]
    return f"{item['status']} {error}"[:REASON]
