"""A bearer token by OAuth 2.0 client credentials (RFC 6749, 4.4), asked for before it expires."""

import http.client
import ssl
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

import orjson

from app.deliver.connection import CONNECT_S, reason
from app.deliver.secret import Secret

EARLY_S: Final = 300.0
"""A token is renewed so long before its end, or halfway if it lives for less than twice that."""
ANSWER_MAX: Final = 1 << 20


@dataclass(slots=True)
class ClientCredentials:
    """`url`: of the token; `read` as of a Secret. The token itself is in no text of this."""

    url: str
    client_id: str
    secret: Secret
    scope: str
    _token: str = field(default="", repr=False)
    _until: float = 0.0

    def read(self) -> str:
        """A token that is good for now. Raises OSError that says why there is none."""
        if not self._token or time.monotonic() >= self._until:
            self._token, lives = self._ask()
            self._until = time.monotonic() + max(lives - EARLY_S, lives / 2)
        return self._token

    def forget(self) -> None:
        """It was not taken: ask for another."""
        self._token = ""

    def _ask(self) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.secret.read(),
            "scope": self.scope,
        }
        status, answer = self._post(urlencode(form).encode())
        try:
            found = orjson.loads(answer)
            if status == 200:
                return str(found["access_token"]), float(found["expires_in"])
            problem = str(found.get("error", ""))  # a word of RFC 6749, 5.2
        except (ValueError, KeyError, TypeError, AttributeError):
            problem = "its answer is none of OAuth 2.0"
        raise OSError(13, f"{self.url}: no token: {status} {problem}")

    def _post(self, body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=CONNECT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request("POST", parts.path, body, headers)
            found = connection.getresponse()
            return found.status, found.read(ANSWER_MAX)
        except OSError as error:
            raise OSError(error.errno or 5, f"{self.url}: {reason(error)}") from None
        except http.client.HTTPException as error:
            raise OSError(5, f"{self.url}: {type(error).__name__}") from None
        finally:
            connection.close()
