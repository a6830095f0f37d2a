"""Identities and paths, asked of Qumulo Core's REST interface with an access token.

The calls are POST /v1/identity/find and /v1/identity/expand, and POST /v1/files/resolve, as
Qumulo's REST API guide has them (rest-api-guide/identity, rest-api-guide/files). No session is
logged in: that would be an audit event each time.
"""

import asyncio
import os
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.live_lookups import Answer, ApartError, Asker, SetupError
from topology.filters import Filter

if TYPE_CHECKING:
    import aiohttp

OWN: Final = "qumulo-look-ups"
"""The filter that drops and counts the audit events of our own look-ups."""
OPERATION: Final = "fs_read_metadata"
"""What reading about a file is audited as. The documented vocabulary has nothing for finding an
identity, so of that no event is expected; neither was seen on a real cluster yet."""
LARGEST: Final = 4 << 20
"""Bytes of a response that are read."""
NOTHING: Final = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}
REFUSED: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

KINDS: Final = ("sid", "uid", "gid", "auth_id", "name")
NUMBERS: Final = ("uid", "gid")
SID: Final = re.compile(r"S-1-[0-9]{1,15}(-[0-9]{1,10}){1,15}", re.IGNORECASE)
NUMBER: Final = re.compile(r"[0-9]{1,10}")
AUTH_ID: Final = re.compile(r"[0-9]{1,20}")
NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
FILE_ID: Final = re.compile(r"[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class Token:
    """Where the access token stands. What it is goes into requests only."""

    file: Path | None = None
    variable: str | None = None

    def read(self) -> str:
        """The token as it is now. Raises SetupError, which does not tell it."""
        if self.variable is not None:
            text, key = os.environ.get(self.variable, ""), "token_env"
            where = f"the environment's {self.variable}"
        else:
            assert self.file is not None  # noqa: S101  # one of the two is given
            key, where = "token_file", str(self.file)
            try:
                mode = self.file.stat().st_mode & 0o777
                text = self.file.read_text(encoding="ascii")
            except OSError as error:
                raise SetupError(key, f"{where} cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise SetupError(key, f"{where} is no text; expected an access token") from None
            if mode & 0o077:
                raise SetupError(
                    key, f"saw mode {mode:04o} of {where}, expected 0600: others could read it"
                )
        token = text.strip()
        if not token or not token.isprintable() or " " in token:
            raise SetupError(key, f"{where} holds no access token; expected one and nothing else")
        return token


class Core:
    """One cluster. Connections are kept; no redirect is followed, as it would get the token."""

    def __init__(self, url: str, token: Token, ca: Path | None, timeout: float) -> None:
        """Raises SetupError."""
        self.url: Final = url.rstrip("/")
        self._token = token
        self._bearer = token.read()
        self._timeout = timeout
        try:
            self._tls = ssl.create_default_context(cafile=None if ca is None else str(ca))
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror or "no PEM certificate"
            raise SetupError("ca_file", f"{ca}: {reason}; expected PEM certificates") from None
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: object) -> Any:
        """The answer; None where there is nothing such. Raises TimeoutError, RuntimeError."""
        # Only workers ask, and have it by then; commands that read northbound.yaml start without.
        import aiohttp  # noqa: PLC0415

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls), auto_decompress=False
            )
        headers = {"Authorization": f"Bearer {self._bearer}", "Content-Type": "application/json"}
        try:
            async with asyncio.timeout(self._timeout):
                async with self._session.post(
                    self.url + path, data=orjson.dumps(body), headers=headers, allow_redirects=False
                ) as response:
                    content = await self._content(response, path)
        except aiohttp.ClientError as error:
            raise RuntimeError(f"{self.url}{path}: {type(error).__name__}") from None
        if content is None:
            return None
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise RuntimeError(f"{self.url}{path}: the answer is not JSON") from None

    async def _content(self, response: "aiohttp.ClientResponse", path: str) -> bytes | None:
        if response.status in NOTHING:
            return None
        if response.status in REFUSED:
            # The token may have been exchanged since it was read.
            self._bearer = await asyncio.to_thread(self._token.read)
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"{self.url}{path}: status {response.status}")
        content = b""
        async for part in response.content.iter_chunked(1 << 16):
            content += part
            if len(content) > LARGEST:
                raise RuntimeError(f"{self.url}{path}: more than {LARGEST} bytes")
        return content

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Identity:
    """Who a SID, a number or a name is."""

    most = 1
    requests = 2
    columns = ("name", "domain", "sid", "uid", "gid", "auth_id", "type", "groups")

    def __init__(self, core: Core, kind: str | None = None) -> None:
        """`kind`: which of KINDS the values are; unless given, their form tells."""
        self._core = core
        self._kind = kind

    def askable(self, value: str) -> bool:
        """What can be one."""
        form = {"sid": SID, "uid": NUMBER, "gid": NUMBER, "auth_id": AUTH_ID, "name": NAME}
        return form[self._kind_of(value)].fullmatch(value) is not None

    def _kind_of(self, value: str) -> str:
        if self._kind is not None:
            return self._kind
        if SID.fullmatch(value):
            return "sid"
        return "uid" if NUMBER.fullmatch(value) else "name"

    async def ask(self, values: Sequence[str]) -> Mapping[str, Answer]:
        """The identity of the only value, and its groups."""
        (value,) = values
        kind = self._kind_of(value)
        asked = {kind: int(value) if kind in NUMBERS else value}
        found = await self._core.post("/v1/identity/find", asked)
        if found is None:
            return {value: Answer(None)}
        expanded = await self._core.post("/v1/identity/expand", {"id": found})
        if not (isinstance(found, dict) and isinstance(expanded, dict | None)):
            raise _unexpected(self._core, "an identity is no object")
        row: dict[str, str | list[str]] = {
            name: str(found[name])
            for name in ("name", "domain", "sid", "uid", "gid", "auth_id")
            if found.get(name) not in (None, "")
        }
        if expanded is not None:
            if expanded.get("type") not in (None, "", "UNKNOWN"):
                row["type"] = str(expanded["type"]).lower()
            if groups := _names(expanded.get("group_ids")):
                row["groups"] = groups
        return {value: Answer(row or None, f"qumulo {self._core.url}")}

    async def close(self) -> None:
        """End its connections."""
        await self._core.close()


class FilePath:
    """The path of a file's id, as it is now."""

    most = 100
    requests = 1
    columns = ("path",)

    def __init__(self, core: Core, _: str | None = None) -> None:
        self._core = core

    def askable(self, value: str) -> bool:
        """Ids are numbers of up to 97 bits."""
        return FILE_ID.fullmatch(value) is not None

    async def ask(self, values: Sequence[str]) -> Mapping[str, Answer]:
        """The paths of all values. Raises ApartError where one that is gone refuses the others."""
        found = await self._core.post("/v1/files/resolve", list(values))
        if found is None:
            if len(values) > 1:
                raise ApartError
            return {values[0]: Answer(None)}
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise _unexpected(self._core, "paths are no list of objects")
        paths = {str(each.get("id")): each.get("path") for each in found}
        source = f"qumulo {self._core.url}"
        return {
            value: Answer({"path": str(paths[value])} if paths.get(value) else None, source)
            for value in values
        }

    async def close(self) -> None:
        """End its connections."""
        await self._core.close()


ASKERS: Final[Mapping[str, type[Identity] | type[FilePath]]] = {
    "identity": Identity,
    "path": FilePath,
}
"""By what is asked for, as app.config.enrichment has it."""


def qumulo_asker(
    what: str, url: str, token: Token, ca: Path | None, timeout: float, kind: str | None
) -> Asker:
    """Raises SetupError."""
    return ASKERS[what](Core(url, token, ca, timeout), kind)


def own_events(account: str, addresses: Iterable[str]) -> Filter:
    """Drops the audit events of look-ups: of this account, from these addresses, by REST, and only
    for what a look-up does. Whatever else is done with the token stays."""
    return Filter(
        OWN,
        keep=False,
        detection={
            "own": {
                "@user": account,
                "@user_ip": list(addresses),
                "@protocol": ["api", "rest"],
                "@operation": OPERATION,
            }
        },
    )


def _unexpected(core: Core, text: str) -> RuntimeError:
    return RuntimeError(f"{core.url}: {text}")


def _names(identities: object) -> list[str]:
    """Of each its name, or what else it has."""
    found = []
    for each in identities if isinstance(identities, list) else ():
        if isinstance(each, dict):
            known = (each.get(key) for key in ("name", "sid", "gid", "uid", "auth_id"))
            text = next((str(value) for value in known if value not in (None, "")), None)
            if text is not None:
                found.append(text)
    return found
