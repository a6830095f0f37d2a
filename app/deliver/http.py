"""Batches by HTTP POST: a record is delivered when the request that holds it is answered with 2xx.

A batch that the receiver does not take for now (429, 5xx, no answer, and what is wrong with the
address or the token) is sent again after a pause, of at least Retry-After. A batch that it refuses
for good (400, 413, 422) is halved until the record at fault is alone; that is kept with the reason.
"""

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from confluent_kafka import Message

from app.deliver.destination import PATIENCE_S, Destination, UnreachableError, Waiting
from app.deliver.http_exchange import FOR_GOOD, HttpClient, HttpExchange
from app.deliver.http_requests import Requests
from app.deliver.refusals import Refusal, Refusals


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """Durations in seconds, `octets` of a body before it is compressed."""

    requests: Requests
    refusals: Refusals
    client: HttpClient
    gzip: bool
    records: int
    octets: int
    wait_s: float


Part: TypeAlias = tuple[Sequence[Message], str]
"""Records to be sent; or, with the reason, one that is refused."""


class HttpDestination(Destination):
    """One connection, one request at a time, so that order is kept."""

    by_record = True

    def __init__(self, settings: HttpSettings, waiting: Waiting) -> None:
        self._settings = settings
        self._waiting = waiting
        self._address = ""
        self._exchange = HttpExchange(settings.client)
        self._batch: list[Message] = []
        self._octets = 0
        self._begun = 0.0
        self._taken = 0
        self.refused = 0

    def open(self, address: str) -> None:
        """Connect."""
        self._address = address
        self._batch, self._octets, self._taken = [], 0, 0
        self._exchange.open(address, self._settings.requests.path)

    def room(self) -> int:
        """What is left of a batch."""
        return self._settings.records - len(self._batch)

    def patience(self) -> float:
        """Until the batch is old enough to go."""
        if not self._batch:
            return PATIENCE_S
        return min(PATIENCE_S, max(0.0, self._begun + self._settings.wait_s - time.monotonic()))

    def write(self, messages: Sequence[Message]) -> None:
        """Returns when the batch waits for more, or was taken."""
        if not self._batch:
            self._begun = time.monotonic()
        self._batch += messages
        self._octets += sum(map(len, map(Message.value, messages)))
        settings = self._settings
        if len(self._batch) >= settings.records or self._octets >= settings.octets:
            self._send_batch()

    @property
    def acknowledged(self) -> int:
        """Those of requests that were taken."""
        return self._taken

    def settle(self, _seconds: float) -> int:
        """Those of batches that were taken."""
        if self._batch and time.monotonic() - self._begun >= self._settings.wait_s:
            self._send_batch()
        return self._taken

    def finish(self, _seconds: float) -> int:
        """Send what waits."""
        self._send_batch()
        return self._taken

    def close(self) -> None:
        """End the connection."""
        self._exchange.close()

    def _send_batch(self) -> None:
        batch, self._batch, self._octets = self._batch, [], 0
        for part in _cut(batch, self._settings.octets):
            self._send(part)

    def _send(self, messages: Sequence[Message]) -> None:
        """Until all are taken, or refused for good and kept. Raises UnreachableError.

        One after the other without a gap: what was taken counts also when the rest is not.
        """
        waiting: list[Part] = [(messages, "")]
        while waiting:
            part, why = waiting.pop()
            if why:
                self._took(part, [(part[0], why)])
            elif part:
                waiting += reversed(self._request(part))

    def _request(self, messages: Sequence[Message]) -> Sequence[Part]:
        """One request; what is left of it, where it was refused."""
        requests = self._settings.requests
        self._waiting()
        status, answer = self._post(requests.body(messages))
        if status not in FOR_GOOD:
            try:
                refused = requests.refused(answer, messages)
            except UnreachableError as error:
                raise UnreachableError(f"{self._address}: {self._safe(str(error))}") from None
            self._took(messages, [(messages[n], self._safe(refused[n])) for n in sorted(refused)])
            return ()
        why = f"{status} {self._exchange.safe(answer)}"
        if not requests.of_records(answer):
            raise UnreachableError(f"{self._address}: {why}")
        blamed = 0 if len(messages) == 1 else requests.blamed(answer)
        if blamed is not None and 0 <= blamed < len(messages):
            behind = blamed + 1
            return (messages[:blamed], ""), (messages[blamed:behind], why), (messages[behind:], "")
        middle = len(messages) // 2
        return (messages[:middle], ""), (messages[middle:], "")

    def _took(self, messages: Sequence[Message], refused: Sequence[Refusal]) -> None:
        self._settings.refusals.keep(refused)
        self.refused += len(refused)
        self._taken += len(messages)

    def _safe(self, text: str) -> str:
        return self._exchange.safe(text.encode())

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Status, of 2xx or FOR_GOOD, and answer. Raises UnreachableError for any other."""
        requests = self._settings.requests
        headers = {"Content-Type": requests.content_type, **requests.headers}
        if self._settings.gzip:
            packer = zlib.compressobj(1, wbits=31)
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        return self._exchange.post(body, headers)


def _cut(batch: Sequence[Message], octets: int) -> Iterator[Sequence[Message]]:
    """Parts of at most so many octets, or of one record."""
    first = size = 0
    for number, length in enumerate(map(len, map(Message.value, batch))):
        if size and size + length > octets:
            yield batch[first:number]
            first, size = number, 0
        size += length
    if batch:
        yield batch[first:]
