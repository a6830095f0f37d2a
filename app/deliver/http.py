"""Batches by HTTP POST: a record is delivered when the request that holds it is answered with 2xx.

A batch that the receiver does not take for now (429, 5xx, no answer, and what is wrong with the
address or the token) is sent again after a pause, of at least Retry-After. A batch that it refuses
for good (400, 413, 422) is halved until the record at fault is alone; that is kept with the reason.
"""

import base64
import datetime as dt
import http.client
import select
import ssl
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from confluent_kafka import Message

from app.deliver.client_credentials import ClientCredentials
from app.deliver.connection import CONNECT_S, ClientTls, reason
from app.deliver.destination import PATIENCE_S, Destination, UnreachableError, Waiting
from app.deliver.http_requests import Requests, excerpt
from app.deliver.refusals import Refusal, Refusals
from app.deliver.secret import Secret

FOR_GOOD: Final = frozenset({400, 413, 422})
"""The records are at fault. What is wrong with the address, the token or a header (401, 403, 404,
415) is no fault of theirs."""
ANSWER_MAX: Final = 64 << 20
LONGEST_WAIT_S: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """Durations in seconds, `octets` of a body before it is compressed."""

    requests: Requests
    refusals: Refusals
    tls: ClientTls
    token: Secret | ClientCredentials | None
    user: str | None
    password: Secret | None
    gzip: bool
    records: int
    octets: int
    wait_s: float
    timeout_s: float


class HttpDestination(Destination):
    """One connection, one request at a time, so that order is kept."""

    def __init__(self, settings: HttpSettings, waiting: Waiting) -> None:
        self._settings = settings
        self._waiting = waiting
        self._address = ""
        self._path = ""
        self._connection: http.client.HTTPConnection | None = None
        self._batch: list[Message] = []
        self._octets = 0
        self._begun = 0.0
        self._acknowledged = 0
        self._secrets: tuple[str, ...] = ()
        self.refused = 0

    def open(self, address: str) -> None:
        """Connect."""
        self._address, parts = address, urlsplit(address)
        self._path = parts.path.rstrip("/") + self._settings.requests.path or "/"
        if parts.query:
            self._path += ("&" if "?" in self._path else "?") + parts.query
        self._batch, self._octets, self._acknowledged = [], 0, 0
        host = parts.hostname or ""
        try:
            if parts.scheme == "https":
                self._connection = http.client.HTTPSConnection(
                    host, parts.port, timeout=CONNECT_S, context=self._settings.tls.context()
                )
            else:
                self._connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
            self._connect(self._connection)
        except OSError as error:
            raise UnreachableError(f"{address}: {reason(error)}") from None

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.timeout = CONNECT_S
        connection.connect()
        connection.sock.settimeout(self._settings.timeout_s)

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

    def settle(self, _seconds: float) -> int:
        """Those of batches that were taken."""
        if self._batch and time.monotonic() - self._begun >= self._settings.wait_s:
            self._send_batch()
        return self._acknowledged

    def finish(self, _seconds: float) -> int:
        """Send what waits."""
        self._send_batch()
        return self._acknowledged

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send_batch(self) -> None:
        batch, self._batch, self._octets = self._batch, [], 0
        for part in _cut(batch, self._settings.octets):
            found = self._send(part)
            self._settings.refusals.keep(found)
            self.refused += len(found)
            self._acknowledged += len(part)

    def _send(self, messages: Sequence[Message]) -> list[Refusal]:
        """Until all are taken or refused for good; the latter. Raises UnreachableError."""
        if not messages:
            return []
        requests = self._settings.requests
        self._waiting()
        status, answer = self._post(requests.body(messages))
        if status not in FOR_GOOD:
            try:
                refused = requests.refused(answer, messages)
            except UnreachableError as error:
                raise UnreachableError(f"{self._address}: {error}") from None
            return [(messages[number], why) for number, why in sorted(refused.items())]
        why = f"{status} {self._safe(answer)}"
        if len(messages) == 1:
            return [(messages[0], why)]
        blamed = requests.blamed(answer)
        if blamed is not None and 0 <= blamed < len(messages):
            rest = [*messages[:blamed], *messages[blamed + 1 :]]
            return [(messages[blamed], why), *self._send(rest)]
        middle = len(messages) // 2
        return [*self._send(messages[:middle]), *self._send(messages[middle:])]

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Status, of 2xx or FOR_GOOD, and answer. Raises UnreachableError for any other."""
        if self._connection is None:
            raise UnreachableError("not connected")
        headers = {
            "Content-Type": self._settings.requests.content_type,
            "User-Agent": "northbound",
            **self._settings.requests.headers,
            **self._authorization(),
        }
        if self._settings.gzip:
            packer = zlib.compressobj(1, wbits=31)
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        try:
            if self._connection.sock is None or _ended(self._connection):
                self._connection.close()  # idle for longer than it keeps a connection
                self._connect(self._connection)
            self._connection.request("POST", self._path, body, headers)
            found = self._connection.getresponse()
            answer = found.read(ANSWER_MAX)
        except (OSError, http.client.HTTPException) as error:
            text = reason(error) if isinstance(error, OSError) else type(error).__name__
            raise UnreachableError(f"{self._address}: {text or 'no answer'}") from None
        if 200 <= found.status < 300 or found.status in FOR_GOOD:
            return found.status, answer
        problem = f"{self._address}: {found.status} {found.reason} {self._safe(answer)}".rstrip()
        if found.status == 401 and isinstance(self._settings.token, ClientCredentials):
            self._settings.token.forget()
        raise UnreachableError(problem, _retry_after(found.getheader("Retry-After")))

    def _authorization(self) -> dict[str, str]:
        settings = self._settings
        try:
            if settings.token is not None:
                token = settings.token.read()
                return self._sent(f"{settings.requests.scheme} {token}", token)
            if settings.password is not None:
                password = settings.password.read()
                pair = base64.b64encode(f"{settings.user}:{password}".encode()).decode()
                return self._sent(f"Basic {pair}", pair, password)
        except OSError as error:
            raise UnreachableError(str(error.strerror)) from None
        return {}

    def _sent(self, value: str, *secrets: str) -> dict[str, str]:
        """The header, whose secrets are in no log, whatever is in their file by then."""
        self._secrets = (value, *secrets)
        return {"Authorization": value}

    def _safe(self, answer: bytes) -> str:
        """What of an answer may be logged: some receivers say what they were sent."""
        for secret in self._secrets:
            answer = answer.replace(secret.encode(), b"<secret>")
        return excerpt(answer)


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


def _ended(connection: http.client.HTTPConnection) -> bool:
    """Whether the receiver has closed a connection that nothing is due on, or talks unasked."""
    if isinstance(connection.sock, ssl.SSLSocket) and connection.sock.pending():
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _retry_after(value: str | None) -> float:
    """Seconds of the header Retry-After (RFC 9110, 10.2.3); 0 if it says nothing."""
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        seconds = moment.timestamp() - dt.datetime.now(dt.UTC).timestamp()
    return min(max(0.0, seconds), LONGEST_WAIT_S)
