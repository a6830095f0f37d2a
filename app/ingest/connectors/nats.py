"""NATS JetStream: a durable pull consumer; a message is acknowledged once Kafka has it (acks=all).

An agent that is killed has acknowledged nothing that Kafka does not have; the server delivers the
rest again, so that duplicates after a kill are possible and losses are not.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from app.config import ConfigError
from app.config.connection import password_of
from app.ingest.confirming import ConfirmingPublisher
from app.ingest.connectors.bodies import lines_of
from app.ingest.connectors.connector import PublishingConnector
from app.ingest.connectors.nats_keys import (
    KeyFileError,
    UserKey,
    read_credentials,
    read_nkey,
)
from app.ingest.framing import LIMIT, Oversize
from app.ingest.settings import AgentSettings, ConnectorSettings

if TYPE_CHECKING:
    from app.config import Config
    from app.config.connectors import NatsConnector as Keys
    from app.ingest.batch import Receipt

log = logging.getLogger(__name__)

BATCH: Final = 1_000
UNACKNOWLEDGED: Final = 20_000
"""Messages that the server hands out before it waits for acknowledgements."""
ACK_WAIT_S: Final = 30.0
"""After so long without a word the server delivers a message again."""
FETCH_S: Final = 1.0
RETRY_S: Final = 2.0
CONNECT_S: Final = 5


@dataclass(frozen=True, kw_only=True)
class NatsSettings(ConnectorSettings):
    """`durable`: name of the consumer on the server, which keeps how far it is."""

    kind: ClassVar[str] = "nats"

    servers: tuple[str, ...]
    stream: str
    subject: str
    durable: str
    from_end: bool = False
    limit: int = LIMIT
    oversize: Oversize = "truncate"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    user_key: UserKey | None = None
    ca_file: Path | None = None
    key_files: tuple[Path, ...] = ()

    @property
    def place(self) -> str:
        """Stream, subject and server."""
        return f"{self.stream} {self.subject} at {self.servers[0]}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The user's key."""
        return self.key_files


class Fetched:
    """Messages of one fetch that wait for Kafka. `receipt` is None if there was nothing to send."""

    def __init__(self, messages: Sequence[Msg], acks: "asyncio.Queue[Fetched]") -> None:
        self.messages = messages
        self.receipt: Receipt | None = None
        self._acks = acks

    def settle(self) -> None:
        """Kafka has all of them."""
        self._acks.put_nowait(self)


class NatsConnector(PublishingConnector[NatsSettings]):
    """`ledger.faults["redelivered"]`: messages that the server had delivered before."""

    def __init__(self, settings: NatsSettings, publisher: ConfirmingPublisher) -> None:
        super().__init__(settings, publisher)
        self._acks: asyncio.Queue[Fetched] = asyncio.Queue()
        self._waiting: dict[int, Fetched] = {}  # by sequence in the stream
        self._client: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; a server that is away is waited for."""
        self._tasks = [
            asyncio.create_task(self._run(), name="nats"),
            asyncio.create_task(self._acknowledge(), name="nats acknowledgements"),
            asyncio.create_task(self._prolong(), name="nats in progress"),
        ]

    async def _run(self) -> None:
        said = ""
        while not self.ending.is_set():
            try:
                subscription = await self._subscribe()
                said = ""
                log.info("Following. %s source=%s", self.settings.place, self.settings.source)
                await self._follow(subscription)
            except (NatsError, OSError, TimeoutError) as error:
                if (problem := f"{type(error).__name__} {error}") != said:
                    said = problem
                    log.warning("NATS cannot be used. %s error=%s", self.settings.place, problem)
                await self._begin_anew()
            except Exception:  # of the client library's own; the rest stays on the server
                log.exception("NATS cannot be used. %s", self.settings.place)
                await self._begin_anew()

    async def _begin_anew(self) -> None:
        self.ledger.faults["session"] += 1
        await self._disconnect()
        await self.pause(RETRY_S)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        settings = self.settings
        context = None
        if settings.ca_file is not None or settings.servers[0].startswith("tls:"):
            context = ssl.create_default_context(cafile=settings.ca_file)
        user_key = settings.user_key
        proof: dict[str, Any] = {}
        client = Client()
        if user_key is not None:
            proof["signature_cb"] = user_key.sign
            # What its own options set, too, once another package has read the seed.
            client._auth_configured = True  # noqa: SLF001
            client._public_nkey = user_key.public  # noqa: SLF001
            if (jwt := user_key.jwt) is not None:
                proof["user_jwt_cb"] = jwt.encode
        await client.connect(
            list(settings.servers),
            error_cb=_ignore,  # what matters comes out of fetch
            connect_timeout=CONNECT_S,
            max_reconnect_attempts=1,
            allow_reconnect=False,
            name="northbound",
            user=settings.user,
            password=settings.password,
            tls=context,
            **proof,
        )
        self._client = client
        start = DeliverPolicy.NEW if settings.from_end else DeliverPolicy.ALL
        stream: JetStreamContext = client.jetstream()
        return await stream.pull_subscribe(
            settings.subject,
            durable=settings.durable,
            stream=settings.stream,
            config=ConsumerConfig(
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=UNACKNOWLEDGED,
                deliver_policy=start,
            ),
        )

    async def _follow(self, subscription: JetStreamContext.PullSubscription) -> None:
        while not self.ending.is_set():
            await self.room()
            if not self._client.is_connected:
                raise ConnectionError("the server has closed the connection")
            with contextlib.suppress(TimeoutError):
                self._take(await subscription.fetch(BATCH, FETCH_S))

    def _take(self, messages: list[Msg]) -> None:
        ledger, settings = self.ledger, self.settings
        details = [each.metadata for each in messages]
        ledger.faults["redelivered"] += sum(each.num_delivered > 1 for each in details)
        fresh = {}
        for each, message in zip(details, messages, strict=True):
            if each.sequence.stream not in self._waiting:  # else Kafka is about to have it
                fresh[each.sequence.stream] = message
        lines = [each.data for each in fresh.values()]
        ledger.bytes += sum(map(len, lines))
        if lines and (min(map(len, lines)) == 0 or max(map(len, lines)) > settings.limit):
            found = [lines_of(each, "whole", settings.limit, settings.oversize) for each in lines]
            lines = [line for each in found for line in each.lines]
            ledger.empty += sum(each.empty for each in found)
            ledger.oversize += sum(each.oversize for each in found)
            ledger.dropped_bytes += sum(each.dropped for each in found)
        fetched = Fetched(list(fresh.values()), self._acks)
        if lines:
            ledger.received += len(lines)
            self._waiting.update(dict.fromkeys(fresh, fetched))
            key = settings.subject.encode()
            fetched.receipt, _ = self.publisher.confirm(lines, key, settings.key, fetched)
        elif fresh:
            fetched.settle()

    async def _acknowledge(self) -> None:
        """Acknowledge what Kafka has; a lost acknowledgement only means one more delivery."""
        while True:
            fetched = await self._acks.get()
            try:
                for message in fetched.messages:
                    await message.ack()
            except Exception as error:  # whatever it is, the next ones have their turn
                log.debug("Not acknowledged; it will be delivered again. error=%s", error)
            for message in fetched.messages:
                self._waiting.pop(message.metadata.sequence.stream, None)
            self._acks.task_done()

    async def _prolong(self) -> None:
        """While Kafka takes its time, the server is told that the messages are in good hands."""
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            with contextlib.suppress(Exception):  # then they are delivered again, and known
                for fetched in dict.fromkeys(self._waiting.values()):
                    for message in fetched.messages:
                        await message.in_progress()

    async def _disconnect(self) -> None:
        if self._client is not None:
            with contextlib.suppress(Exception):
                await self._client.close()
            self._client = None

    async def stop(self, drain_s: float) -> None:  # noqa: ARG002  # the rest stays on the server
        """Fetch no more."""
        self.ending.set()
        if self._tasks:
            await self._tasks[0]

    async def close(self) -> None:
        """Acknowledge what Kafka has taken by now."""
        await super().close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._acks.join(), CONNECT_S)
        if self._client is not None:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await self._client.flush(CONNECT_S)
        await self._disconnect()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _ignore(_error: Exception) -> None:
    """What the client's own loop meets."""


def settings(config: "Config", keys: "Keys", _tls: object) -> NatsSettings:
    """Keys of northbound.yaml as the connector is told them. Raises ConfigError for a secret."""
    at = ("connectors", config.connectors.index(keys))
    secret = None
    if keys.username is not None:
        secret = password_of(keys.password_env, keys.password_file, config, at)
    user_key, key_files = _user_key(config, keys, at)
    return NatsSettings(
        source=keys.source,
        key=config.sources[keys.source].key,
        servers=tuple(keys.servers),
        stream=keys.stream,
        subject=keys.subject,
        durable=keys.durable or config.names.group(keys.source).replace(".", "-"),
        from_end=keys.start == "end",
        limit=keys.max_line,
        oversize=keys.oversize,
        user=keys.username,
        password=secret,
        user_key=user_key,
        key_files=key_files,
        ca_file=config.path(keys.ca_file) if keys.ca_file else None,
    )


def _user_key(
    config: "Config", keys: "Keys", at: tuple[str, int]
) -> tuple[UserKey | None, tuple[Path, ...]]:
    read = read_nkey if keys.nkey_file else read_credentials
    name = "nkey_file" if keys.nkey_file else "credentials_file"
    given = keys.nkey_file or keys.credentials_file
    if given is None:
        return None, ()
    path = config.path(given)
    try:
        return read(path), (path,)
    except OSError as error:
        problem = config.problem((*at, name), f"{path}: {error.strerror}")
        raise ConfigError([problem]) from None
    except KeyFileError as error:
        raise ConfigError([config.problem((*at, name), f"{path}: {error}")]) from None


def make(
    chosen: NatsSettings, agent: AgentSettings, client: Mapping[str, Any], topic: str
) -> NatsConnector:
    """A connector that is not started."""
    return NatsConnector(chosen, ConfirmingPublisher.of(agent, client, topic))
