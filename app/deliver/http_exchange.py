"""Requests by HTTP POST over one connection, with a token or a password that is in no text.

What an answer means: 2xx, the receiver has it; 400, 413 and 422, what was sent is at fault; any
other, and none, it is away or not as it should be, and everything waits.
"""

import base64
import datetime as dt
import http.client
import select
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from app.deliver.client_credentials import ClientCredentials
from app.deliver.connection import CONNECT_S, ClientTls, reason
from app.deliver.destination import UnreachableError
from app.deliver.secret import Secret

FOR_GOOD: Final = frozenset({400, 413, 422})
"""The records are at fault. What is wrong with the address, the token or a header (401, 403, 404,
415) is no fault of theirs."""
ANSWER_MAX: Final = 64 << 20
LONGEST_WAIT_S: Final = 3600.0
PIECE: Final = 8
"""Characters of a part of a path that may be a secret by itself."""
REASON: Final = 300
"""Characters of an answer that are kept."""


class AnsweredError(UnreachableError):
    """An answer that is neither 2xx nor FOR_GOOD."""

    def __init__(self, reason: str, wait_s: float, status: int) -> None:
        super().__init__(reason, wait_s)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class HttpClient:
    """Whom a receiver takes us for, with what `scheme` of the token. Seconds."""

    tls: ClientTls
    token: Secret | ClientCredentials | None = None
    user: str | None = None
    password: Secret | None = None
    scheme: str = "Bearer"
    timeout_s: float = 30.0


class HttpExchange:
    """One connection, one request at a time. Raises UnreachableError; every text names `shown`."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._shown = ""
        self._path = ""
        self._connection: http.client.HTTPConnection | None = None
        self._secrets: tuple[str, ...] = ()
        self._hidden: tuple[str, ...] = ()

    def open(self, url: str, path: str = "", shown: str | None = None) -> None:
        """Connect. `path`: behind that of the URL. `shown`: instead of a URL that is a secret."""
        self._shown, parts = url if shown is None else shown, urlsplit(url)
        self._hidden = () if shown is None else _pieces(url)
        self._path = parts.path.rstrip("/") + path or "/"
        if parts.query:
            self._path += ("&" if "?" in self._path else "?") + parts.query
        host = parts.hostname or ""
        try:
            if parts.scheme == "https":
                self._connection = http.client.HTTPSConnection(
                    host, parts.port, timeout=CONNECT_S, context=self._client.tls.context()
                )
            else:
                self._connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
            self._connect(self._connection)
        except OSError as error:
            raise UnreachableError(f"{self._shown}: {reason(error)}") from None

    def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status, of 2xx or FOR_GOOD, and answer. Raises AnsweredError for any other."""
        connection = self._connection
        if connection is None:
            raise UnreachableError("not connected")
        sent = {"User-Agent": "northbound", **headers, **self._authorization()}
        try:
            if connection.sock is None or _ended(connection):
                connection.close()  # idle for longer than it keeps a connection
                self._connect(connection)
            connection.request("POST", self._path, body, sent)
            found = connection.getresponse()
            answer = found.read(ANSWER_MAX)
        except (OSError, http.client.HTTPException) as error:
            text = reason(error) if isinstance(error, OSError) else type(error).__name__
            raise UnreachableError(f"{self._shown}: {text or 'no answer'}") from None
        except ValueError:  # it would show what it is about
            problem = "the token, the password or a header has signs that no header may have"
            raise UnreachableError(f"{self._shown}: {problem}") from None
        if 200 <= found.status < 300 or found.status in FOR_GOOD:
            return found.status, answer
        problem = f"{self._shown}: {found.status} {found.reason} {self.safe(answer)}".rstrip()
        if found.status == 401 and isinstance(self._client.token, ClientCredentials):
            self._client.token.forget()
        raise AnsweredError(problem, _retry_after(found.getheader("Retry-After")), found.status)

    def safe(self, answer: bytes) -> str:
        """What of an answer may be logged: some receivers say what they were sent."""
        for secret in (*self._secrets, *self._hidden):
            answer = answer.replace(secret.encode(), b"<secret>")
        return excerpt(answer)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.timeout = CONNECT_S
        connection.connect()
        connection.sock.settimeout(self._client.timeout_s)

    def _authorization(self) -> dict[str, str]:
        client = self._client
        try:
            if client.token is not None:
                token = client.token.read()
                return self._sent(f"{client.scheme} {token}", token)
            if client.password is not None:
                password = client.password.read()
                pair = base64.b64encode(f"{client.user}:{password}".encode()).decode()
                return self._sent(f"Basic {pair}", pair, password)
        except OSError as error:
            raise UnreachableError(str(error.strerror)) from None
        return {}

    def _sent(self, value: str, *secrets: str) -> dict[str, str]:
        """The header, whose secrets are in no log, whatever is in their file by then."""
        self._secrets = (value, *secrets)
        return {"Authorization": value}


def _pieces(url: str) -> tuple[str, ...]:
    """What of a URL that is a secret must not be seen, longest first."""
    parts = urlsplit(url)
    found = [url, parts.path.strip("/"), parts.query]
    found += [each for each in parts.path.split("/") if len(each) >= PIECE]
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def excerpt(answer: bytes) -> str:
    """The beginning of an answer in one line."""
    return " ".join(answer[: 2 * REASON].decode("utf-8", "replace").split())[:REASON]


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
