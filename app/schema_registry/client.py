"""A schema registry by Confluent's HTTP interface (Confluent, Karapace, Apicurio's ccompat, …).

Source: Confluent's "Schema Registry API Reference" (subjects, compatibility, config, schemas).
Blocks. Errors say what to change in northbound.yaml; none has a password in it.
"""

import base64
import http.client
import logging
import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
ANSWER_MAX: Final = 4 << 20
CONTENT: Final = "application/vnd.schemaregistry.v1+json"
SUBJECT_UNKNOWN, SCHEMA_UNKNOWN = 40401, 40403
WORDS_MAX: Final = 500


class RegistryError(Exception):
    """The registry refuses; the text says what, and what to do."""


class RegistryAwayError(RegistryError):
    """Nobody answers, or not as it should just now."""


class Registry:
    """`urls`: the first that answers is asked. `login`: user name and password, if any."""

    def __init__(
        self,
        urls: Sequence[str],
        context: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self._urls = [each.rstrip("/") for each in urls]
        self._context = context
        self._headers = {"Accept": f"{CONTENT}, application/json", "Content-Type": CONTENT}
        self._secrets: tuple[str, ...] = ()
        if login is not None:
            token = base64.b64encode(":".join(login).encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
            self._secrets = (login[1], token)
        self._schemas: dict[int, str] = {}

    def schema(self, schema_id: int) -> str:
        """The text of a schema; asked for once, as what an id stands for never changes."""
        if schema_id not in self._schemas:
            answer = self._ask("GET", f"/schemas/ids/{schema_id}", f"give schema {schema_id}")
            self._schemas[schema_id] = str(_member(answer, "schema"))
        return self._schemas[schema_id]

    def id_of(self, subject: str, schema: str) -> int | None:
        """The id of a schema if the subject has it."""
        path = f"/subjects/{_part(subject)}"
        unknown = (SUBJECT_UNKNOWN, SCHEMA_UNKNOWN)
        answer = self._ask("POST", path, f"look up {subject}", {"schema": schema}, unknown)
        return None if answer is None else _number(answer)

    def has(self, subject: str) -> bool:
        """Whether there is any schema under a subject."""
        path = f"/subjects/{_part(subject)}/versions"
        return bool(self._ask("GET", path, f"list {subject}", unknown=(SUBJECT_UNKNOWN,)))

    def objections(self, subject: str, schema: str) -> list[str]:
        """Why a schema may not follow the newest of a subject, at the subject's level of
        compatibility; nothing: it may."""
        path = f"/compatibility/subjects/{_part(subject)}/versions/latest?verbose=true"
        answer = self._ask("POST", path, f"compare {subject}", {"schema": schema})
        if _member(answer, "is_compatible") is True:
            return []
        found = answer.get("messages") if isinstance(answer, dict) else None
        told = [self._clean(str(each)) for each in found] if isinstance(found, list) else []
        return told or ["it does not say why"]

    def set_level(self, subject: str, level: str) -> bool:
        """The level of compatibility that new schemas of a subject have to have; False if the
        registry wants the subject to be there first."""
        doing = f"set the compatibility of {subject}"
        content = {"compatibility": level}
        path = f"/config/{_part(subject)}"
        return self._ask("PUT", path, doing, content, (SUBJECT_UNKNOWN, 404)) is not None

    def register(self, subject: str, schema: str) -> int:
        """The id of a schema, which the subject has from now on; twice is no error."""
        path = f"/subjects/{_part(subject)}/versions"
        return _number(self._ask("POST", path, f"register {subject}", {"schema": schema}))

    def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        content: dict[str, str] | None = None,
        unknown: Sequence[int] = (),
    ) -> Any:
        """The answer; None for an error code of `unknown`."""
        away = ""
        for url in self._urls:
            try:
                status, body = self._request(url, method, path, content)
            except (OSError, http.client.HTTPException) as error:
                away = f"{url}: {_reason(error)}"
                continue
            if status >= 500 or status == 429:
                away = f"{url}: {status} {self._words(body)}"
                continue
            try:
                return self._answer(url, status, body, doing, unknown)
            except ValueError:
                raise RegistryError(
                    f"Cannot {doing}: {url} answers {status} and no JSON. Is a registry behind "
                    "this path? Apicurio's is /apis/ccompat/v7. See schema_registry.urls."
                ) from None
        raise RegistryAwayError(
            f"Cannot {doing}: the schema registry does not answer. {away}. Is it up, and are "
            "schema_registry.urls and ca_file right?"
        )

    def _answer(
        self, url: str, status: int, body: bytes, doing: str, unknown: Sequence[int]
    ) -> Any:
        if status == 401:
            raise RegistryError(
                f"Cannot {doing}: {url} refused the user name or the password. See "
                "schema_registry.username and password_file."
            )
        if status == 403:
            raise RegistryError(
                f"Cannot {doing}: {url} says that this user may not. Grant it, or let others "
                "register the schemas and set schema_registry.publish: false."
            )
        found = orjson.loads(body)
        if status == 200:
            return found
        code = found.get("error_code") if isinstance(found, dict) else None
        if code in unknown:
            return None
        raise RegistryError(f"Cannot {doing}: {url} answers {status} {self._words(body)}")

    def _request(
        self, url: str, method: str, path: str, content: dict[str, str] | None
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = self._context or ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
        body = None if content is None else orjson.dumps(content)
        try:
            connection.request(method, f"{parts.path}{path}", body, self._headers)
            found = connection.getresponse()
            return found.status, found.read(ANSWER_MAX)
        finally:
            connection.close()

    def _words(self, body: bytes) -> str:
        """What an answer says, if it says it as the interface has it."""
        try:
            found = orjson.loads(body)
            text = str(found["message"])
        except (ValueError, KeyError, TypeError):
            return ""
        return self._clean(text)

    def _clean(self, text: str) -> str:
        """On one line, cut, and without what it was sent in secret."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:WORDS_MAX]


def _part(subject: str) -> str:
    return quote(subject, safe="")


def _member(answer: Any, name: str) -> Any:
    if not isinstance(answer, dict) or name not in answer:
        raise RegistryError(
            f"The schema registry's answer has no {name!r}. Is it one with Confluent's interface? "
            "See schema_registry.urls."
        )
    return answer[name]


def _number(answer: Any) -> int:
    found = _member(answer, "id")
    if not isinstance(found, int) or not 0 <= found < 2**31:
        raise RegistryError(f"The schema registry gave the id {found!r}; expected 0 to 2147483647.")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError):
        return str(getattr(error, "reason", None) or error.strerror or error)
    return type(error).__name__
