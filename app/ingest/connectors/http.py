"""HTTP POST: answered with 200 only after all in-sync replicas of Kafka have every line of it.

A sender that got no 200 sends again: duplicates are possible, losses are not.
"""

import asyncio
import hmac
import json
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from aiohttp import web

from app.broker import ports
from app.config.fields import host_port
from app.ingest.complaints import Seldom
from app.ingest.confirming import ConfirmingPublisher
from app.ingest.connectors.bodies import Body, BodyError, Lines, TooLargeError, lines_of
from app.ingest.connectors.connector import PublishingConnector
from app.ingest.framing import LIMIT, Oversize
from app.ingest.ledger import Ledger
from app.ingest.settings import AgentSettings, ConnectorSettings, cannot_listen
from app.ingest.tls import TlsSettings

if TYPE_CHECKING:
    import ssl

    from app.config import Config
    from app.config.connectors import HttpConnector as Keys

log = logging.getLogger(__name__)

ACK_S: Final = 10.0
"""How long an answer waits for Kafka."""
RETRY_AFTER: Final = {"Retry-After": "5"}
BODY_S: Final = 60.0
KEEPALIVE_S: Final = 75.0
LINGER_S: Final = 2.0
STOP_S: Final = 2.0
BACKLOG: Final = 1024
SMALL: Final = 65_536
"""A body up to this size is taken apart on the loop, a larger one in a thread."""
BODIES: Final = 8
"""So many of the largest bodies may be in memory at once."""


_SENDERS: Final = logging.getLogger(f"{__name__}.senders")
"""Where the server tells of senders that speak no HTTP, each with a trace: nowhere."""
_SENDERS.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, kw_only=True)
class HttpSettings(ConnectorSettings):
    """Port 0 means any free one. The token's file, or the variable, may hold several, one a line.

    `max_body`: octets of a body, as sent and inflated.
    """

    kind: ClassVar[str] = "http"

    host: str
    port: int
    path: str = "/"
    token_file: Path | None = None
    token_env: str | None = None
    body: Body = "lines"
    max_body: int = 16 << 20
    limit: int = LIMIT
    oversize: Oversize = "truncate"
    tls: TlsSettings | None = None

    @property
    def place(self) -> str:
        """Address and port."""
        return ports.join(self.host, self.port)

    @property
    def files(self) -> tuple[Path, ...]:
        """The token's, and the certificates'."""
        tls = self.tls.files if self.tls else ()
        return (*((self.token_file,) if self.token_file else ()), *tls)

    def tokens(self) -> tuple[bytes, ...]:
        """The tokens that are valid now; none: no token is asked for. Raises OSError."""
        if self.token_env is not None:
            text = os.environ.get(self.token_env, "")
            where = f"token_env: the environment's {self.token_env}"
        elif self.token_file is not None:
            where = f"token_file {self.token_file}"
            try:
                text = self.token_file.read_text(encoding="utf-8")
            except OSError as error:
                raise OSError(error.errno, f"{where}: {error.strerror}") from None
            except ValueError:
                raise OSError(0, f"{where} is no text; expected a token a line") from None
        else:
            return ()
        found = tuple(line.strip().encode() for line in text.splitlines() if line.strip())
        if not found:
            raise OSError(0, f"{where} holds no token; write one, or leave the key out")
        return found


class Wait:
    """One request that waits for its receipt."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    def settle(self) -> None:
        """Its receipt is done."""
        self.done.set()


class HttpConnector(PublishingConnector[HttpSettings]):
    """One address. `ledger.faults` counts requests that were refused, by status."""

    def __init__(self, settings: HttpSettings, publisher: ConfirmingPublisher) -> None:
        super().__init__(settings, publisher)
        self._tokens: tuple[bytes, ...] = ()
        self._context: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None
        self._held = 0  # octets of bodies in memory
        self._seldom = Seldom()

    async def start(self) -> None:
        """Listen. Raises OSError with advice."""
        settings = self.settings
        self._tokens = settings.tokens()
        if settings.tls is not None:
            self._context = settings.tls.context()
        listening = self._listen()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=_SENDERS,
            auto_decompress=False,  # inflating is bounded here
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            shutdown_timeout=STOP_S,
        )
        await self._runner.setup()
        await web.SockSite(
            self._runner, listening, ssl_context=self._context, backlog=BACKLOG
        ).start()
        self.address = host, port = listening.getsockname()[:2]
        self.ledger.address = ports.join(host, port)
        log.info(
            "Listening. protocol=http address=%s source=%s", self.ledger.address, settings.source
        )

    def _listen(self) -> socket.socket:
        settings = self.settings
        try:
            family, _, _, _, address = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            return socket.create_server(address[:2], family=family, backlog=BACKLOG)
        except OSError as error:
            raise cannot_listen(settings.place, settings.source, error) from None

    def reload(self) -> None:
        """Tokens and certificates again; requests to come need the new ones. Raises OSError."""
        self._tokens = self.settings.tokens()
        if self._context is not None and self.settings.tls is not None:
            self.settings.tls.renew(self._context)

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            return await self._respond(request)
        except Exception:
            log.exception("A request cannot be answered. peer=%s", request.remote)
            return self._refuse(request, HTTPStatus.INTERNAL_SERVER_ERROR, "see the agent's log")

    async def _respond(self, request: web.Request) -> web.Response:
        if not self._authorized(request.headers.get("Authorization", "")):
            return self._refuse(
                request, HTTPStatus.UNAUTHORIZED, "no valid token", {"WWW-Authenticate": "Bearer"}
            )
        if request.path != self.settings.path:
            return self._refuse(request, HTTPStatus.NOT_FOUND, f"POST to {self.settings.path}")
        if request.method != "POST":
            return self._refuse(
                request, HTTPStatus.METHOD_NOT_ALLOWED, "only POST", {"Allow": "POST"}
            )
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            return self._refuse(
                request,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Content-Encoding {encoding[:40]!r}; expected gzip or none",
                {"Accept-Encoding": "gzip"},
            )
        if not self._room:
            return self._away(request)
        try:
            async with asyncio.timeout(BODY_S):
                found = await self._lines(request, gzip=encoding == "gzip")
        except TooLargeError as error:
            return self._refuse(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except BodyError as error:
            return self._refuse(request, HTTPStatus.BAD_REQUEST, str(error))
        except (TimeoutError, ConnectionError):
            return self._refuse(request, HTTPStatus.REQUEST_TIMEOUT, "the body did not come")
        except BufferError:
            return self._away(request)
        return await self._publish(request, found)

    def _authorized(self, header: str) -> bool:
        """Whether there is no token, or a valid one. Every token is compared, in constant time."""
        scheme, _, given = header.partition(" ")
        token = given.strip().encode(errors="replace")
        matches = [hmac.compare_digest(token, each) for each in self._tokens]
        return not self._tokens or (scheme.lower() == "bearer" and any(matches))

    @property
    def _room(self) -> bool:
        """Whether lines can be taken now."""
        return not (self.ending.is_set() or self.publisher.stalled or self.publisher.full)

    async def _lines(self, request: web.Request, *, gzip: bool) -> Lines:
        """The lines of its body. Raises BodyError; BufferError if bodies fill the memory."""
        settings = self.settings
        most = settings.max_body
        large = TooLargeError(f"the body is larger than {most} octets")
        if (request.content_length or 0) > most:
            raise large
        chunks = []
        size = 0
        try:
            async for data in request.content.iter_any():
                size += len(data)
                self._held += len(data)
                if size > most:
                    raise large
                if self._held > BODIES * most:
                    raise BufferError
                chunks.append(data)
            self.ledger.bytes += size
            work = (
                b"".join(chunks),
                settings.body,
                settings.limit,
                settings.oversize,
                most if gzip else None,
            )
            if size <= SMALL and not gzip:
                return lines_of(*work)
            return await asyncio.to_thread(lines_of, *work)
        finally:
            self._held -= size

    async def _publish(self, request: web.Request, found: Lines) -> web.Response:
        ledger, lines = self.ledger, found.lines
        ledger.empty += found.empty
        ledger.oversize += found.oversize
        ledger.dropped_bytes += found.dropped
        if not lines:
            return web.json_response({"accepted": 0})
        ledger.received += len(lines)
        wait = Wait()
        key = (request.remote or "").removeprefix("::ffff:").encode()
        receipt, _ = self.publisher.confirm(lines, key, self.settings.key, wait)
        try:
            async with asyncio.timeout(ACK_S):
                await wait.done.wait()
        except TimeoutError:
            return self._away(request)
        if receipt.refused:
            return self._refuse(
                request,
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"Kafka does not take {len(receipt.refused)} of {len(lines)} lines",
            )
        return web.json_response({"accepted": len(lines)})

    def _away(self, request: web.Request) -> web.Response:
        reason = "the agent stops" if self.ending.is_set() else "Kafka does not keep up"
        return self._refuse(request, HTTPStatus.SERVICE_UNAVAILABLE, reason, RETRY_AFTER)

    def _refuse(
        self,
        request: web.Request,
        status: HTTPStatus,
        reason: str,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Count it, and say so once a minute for each status."""
        self.ledger.faults[str(status.value)] += 1
        if self._seldom.due(status.value):
            log.warning(
                "A request is refused. peer=%s status=%d reason=%s", request.remote, status, reason
            )
        text = json.dumps({"error": reason})
        return web.Response(
            text=text, status=status, headers=headers, content_type="application/json"
        )

    def account(self) -> Ledger:
        """The ledger as of now."""
        if self._runner is not None and self._runner.server is not None:
            self.ledger.connections = len(self._runner.server.connections)
        return super().account()

    async def stop(self, drain_s: float) -> None:  # noqa: ARG002  # the server has its own
        """Accept no more; requests in hand get their answers if Kafka answers in time."""
        self.ending.set()
        if self._runner is not None:
            await self._runner.cleanup()


def settings(config: "Config", keys: "Keys", tls: TlsSettings | None) -> HttpSettings:
    """Keys of northbound.yaml as the connector is told them."""
    host, port = host_port(keys.listen)
    return HttpSettings(
        source=keys.source,
        key=config.sources[keys.source].key,
        host=host,
        port=port,
        path=keys.path,
        token_file=config.path(keys.token_file) if keys.token_file else None,
        token_env=keys.token_env,
        body=keys.body,
        max_body=keys.max_body,
        limit=keys.max_line,
        oversize=keys.oversize,
        tls=tls,
    )


def make(
    chosen: HttpSettings, agent: AgentSettings, client: Mapping[str, Any], topic: str
) -> HttpConnector:
    """A connector that is not started."""
    return HttpConnector(chosen, ConfirmingPublisher.of(agent, client, topic))
