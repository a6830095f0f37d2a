"""The ingest agent: listeners and connectors with a publisher each, and the ticker, in one loop."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from confluent_kafka import KafkaException

from app.ingest.complaints import Seldom
from app.ingest.endpoint import Answer, Endpoint
from app.ingest.ledger import Ledger
from app.ingest.lines import LineListener
from app.ingest.listeners import Listener, left_over, make_listener
from app.ingest.metrics import exposition
from app.ingest.settings import AgentSettings, InputSettings
from app.ingest.sources import SourceMonitor
from app.ingest.ticker import Ticker
from app.ingest.topics import IngestError, batch_sizes, require_topics
from app.ingest.udp import DatagramListener
from topology.topics import Names

log = logging.getLogger(__name__)

TURN_S: Final = 0.02
TURN_PAUSED_S: Final = 0.002
STATUS_S: Final = 1.0


class IngestAgent:
    """Runs what `settings` have until `stop`. `client`: librdkafka configuration."""

    def __init__(self, settings: AgentSettings, client: Mapping[str, Any], names: Names) -> None:
        self.settings = settings
        self.listeners: list[Listener] = []
        self._leaving: list[Listener] = []
        """Those that listen no more, and have lines that Kafka has not taken and nobody else has.
        """
        self.web: tuple[str, int] | None = None
        self._client = client
        self._names = names
        self._batch_sizes: dict[str, int] = {}
        self._ticker: Ticker | None = None
        self._sources = SourceMonitor(client, names, settings)
        self._ticking: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._seldom = Seldom()
        metrics = exposition(self.ledgers, self._ticks, lambda: self._sources.reports)
        self._endpoint = Endpoint(
            {
                "/health": lambda: Answer(b"ok\n"),
                "/ready": self._ready_page,
                "/metrics": lambda: Answer(metrics(), "text/plain; version=0.0.4; charset=utf-8"),
                "/status": lambda: Answer(json.dumps(self.status()).encode(), "application/json"),
            }
        )

    async def start(self) -> None:
        """Open every listener. Raises IngestError; then none is left open."""
        _allow_many_connections()
        await self._require(self.settings)
        try:
            for each in self.settings.inputs:
                await self._open(each)
            if self.settings.web is not None:
                self.web = await self._endpoint.start(*self.settings.web)
        except OSError as error:
            await self.stop()
            raise IngestError(error.strerror or str(error)) from None
        self._tell_left_over()
        self._start_ticker()
        self._tasks = [
            asyncio.create_task(self._turns(), name="turns"),
            asyncio.create_task(self._statuses(), name="status"),
        ]
        gc.freeze()  # what start-up made lives as long as the process: spare the collector the walk

    async def apply(self, settings: AgentSettings) -> None:
        """Go over to other settings; listeners that stay as they were go on undisturbed.

        Raises IngestError, with every problem a line. Then what could not be had stays as it was.
        """
        await self._require(settings)
        problems = []
        kept = [each for each in self.listeners if each.settings in settings.inputs]
        gone = [each for each in self.listeners if each not in kept]
        for each in kept:
            try:
                each.reload()
            except OSError as error:
                problems.append(str(error.strerror or error))
        await asyncio.gather(*(self._halt(each) for each in gone))
        await self._flush(gone)
        for each in gone:
            alone = isinstance(each, LineListener | DatagramListener)  # nobody else has its lines
            if each.in_flight and alone and not each.settings.spool_bytes:
                self._leaving.append(each)
                continue
            await self._close(each)
            if each.in_flight:
                problems.append(f"Kafka did not take {each.in_flight} messages of {each.address}")
        before, self.settings, self.listeners = self.settings, settings, kept
        there = {each.settings for each in kept}
        for fresh in (each for each in settings.inputs if each not in there):
            try:
                await self._open(fresh)
            except OSError as error:
                problems.append(str(error.strerror or error))
                await self._restore(fresh, before)
        if settings.web != before.web:
            try:
                await self._endpoint.move(settings.web)
            except OSError as error:
                problems.append(f"ingest.web: {error.strerror or error}")
            self.web = self._endpoint.address
        self._tell_left_over()
        self._sources.apply(settings)
        if before.ticks != settings.ticks:
            self._start_ticker()
        if problems:
            raise IngestError("\n".join(problems))

    def _tell_left_over(self) -> None:
        """Lines that wait on disk for a listener that is not there any more."""
        try:
            found = left_over(self.settings.listeners)
        except OSError as error:
            log.warning("The folder of spools cannot be read. error=%s", error)
            return
        for folder, size in found:
            log.error(
                "Lines wait in a spool that no listener has. Give the listener the source, address "
                "and threads that it had until they are sent. folder=%s bytes=%d",
                folder,
                size,
            )

    async def _restore(self, fresh: InputSettings, before: AgentSettings) -> None:
        """What listened at the address of a listener that cannot be opened listens there again."""
        for each in before.inputs:
            if each.place == fresh.place:
                with contextlib.suppress(OSError):
                    await self._open(each)

    async def _require(self, settings: AgentSettings) -> None:
        lines = {self._names.raw(source): size for source, size in settings.max_line.items()}
        topics = sorted({*map(self._names.raw, settings.ticks), *lines})
        topics += sorted({topic for each in settings.connectors for topic in each.topics_needed})
        if await asyncio.to_thread(require_topics, self._client, topics):
            self._batch_sizes = await asyncio.to_thread(batch_sizes, self._client, lines)

    def _start_ticker(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        topics = {self._names.raw(source): each for source, each in self.settings.ticks.items()}
        self._ticker = Ticker(self._client, topics, self._busy)
        self._ticking = asyncio.create_task(self._ticker.run(), name="ticker")

    async def _finish(self, listener: Listener) -> None:
        """End one. Each does so by itself: a sender that is slow, and lines that only Kafka can
        take, keep no other from putting its own into its spool, or its place on disk."""
        await self._halt(listener)
        await self._flush([listener])
        await self._close(listener)

    async def _halt(self, listener: Listener) -> None:
        """Listen no more."""
        try:
            await listener.stop(self.settings.drain_s)
        except Exception:
            log.exception("An input did not stop in order. source=%s", listener.settings.source)

    async def _close(self, listener: Listener) -> None:
        """One whose spool's disk fails keeps no other from putting its lines into its own."""
        try:
            await listener.close()
        except Exception:
            log.exception("An input did not end in order. source=%s", listener.settings.source)

    async def _open(self, settings: InputSettings) -> None:
        topic = self._names.raw(settings.source)
        client = self._client
        if topic in self._batch_sizes:
            client = {**client, "batch.size": self._batch_sizes[topic]}
        try:
            listener = make_listener(settings, self.settings, client, topic)
            await listener.start()
        except KafkaException as error:  # a CA file that is gone, say
            text = f"source {settings.source}: {error.args[0].str()}"
            raise OSError(0, text) from None
        self.listeners.append(listener)
        await asyncio.to_thread(listener.warm)

    async def stop(self) -> int:
        """Stop accepting, read and publish what has arrived; the number of messages not published.

        That number is 0 unless Kafka was away for longer than `flush_s`; messages that a spool
        keeps do not count.
        """
        self._stopping = True
        every = [*self.listeners, *self._leaving]
        self._leaving = []
        await asyncio.gather(*(self._finish(each) for each in every))
        left = sum(each.in_flight for each in every)
        await asyncio.to_thread(self._sources.close)
        for task in [*self._tasks, *([self._ticking] if self._ticking else [])]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._write_status()
        await self._endpoint.stop()
        if left:
            log.error("Kafka did not take all messages before the agent ended. messages=%d", left)
        return left

    def serves(self, client: Mapping[str, Any], names: Names) -> bool:
        """Whether this is the Kafka that it publishes to; another one takes a restart."""
        return (client, names) == (self._client, self._names)

    def ledgers(self) -> list[Ledger]:
        """One ledger a listener, as of now."""
        return [each.account() for each in self.listeners]

    @property
    def ready(self) -> bool:
        """Whether lines get through to Kafka."""
        if self._stopping or self._ticker is None:
            return False
        stalled = any(each.stalled for each in self.listeners)
        return self._ticker.reachable and not stalled

    def status(self) -> dict[str, Any]:
        """What `northbound status` shows."""
        return {
            "pid": os.getpid(),
            "time": time.time(),
            "ready": self.ready,
            "stopping": self._stopping,
            "web": f"{self.web[0]}:{self.web[1]}" if self.web else None,
            "ticks": self._ticks(),
            "listeners": [each.as_dict() for each in self.ledgers()],
        }

    def _ticks(self) -> int:
        return self._ticker.written.total() if self._ticker else 0

    def _ready_page(self) -> Answer:
        if self.ready:
            return Answer(b"ready\n")
        text = b"stopping\n" if self._stopping else b"Kafka does not answer\n"
        return Answer(text, status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _busy(self, topic: str) -> bool:
        """Whether lines for a topic wait here for Kafka, for longer than they should."""
        every = [*self.listeners, *self._leaving]
        mine = (each for each in every if self._names.raw(each.settings.source) == topic)
        return any(each.waiting or each in self._leaving for each in mine)

    async def _flush(self, listeners: Sequence[Listener]) -> None:
        """Wait for Kafka; where a spool keeps the rest, only while Kafka takes anything."""
        deadline = time.monotonic() + self.settings.flush_s
        while time.monotonic() < deadline:
            waiting = [each for each in listeners if each.in_flight]
            if all(each.stalled and each.settings.spool_bytes for each in waiting):
                return
            self._turn(listeners)
            await asyncio.sleep(TURN_PAUSED_S)

    async def _part(self) -> None:
        """Serve those that leave until Kafka has what they took."""
        self._turn(self._leaving)
        for each in [each for each in self._leaving if not each.in_flight]:
            self._leaving.remove(each)
            await self._close(each)

    def _turn(self, listeners: Sequence[Listener]) -> None:
        """Serve each; one that fails, as with a disk, keeps no other from Kafka."""
        for each in listeners:
            try:
                each.turn()
            except Exception:
                if self._seldom.due(id(each)):
                    log.exception("An input cannot be served. source=%s", each.settings.source)

    async def _turns(self) -> None:
        was_ready = self.ready
        while True:
            if self.ready != was_ready:
                was_ready = not was_ready
                self._write_status()  # `northbound up` waits for it
                if was_ready:
                    log.info("Kafka takes messages.")
                else:
                    log.warning("Kafka takes no messages; senders are held back if it lasts.")
            self._turn(self.listeners)
            await self._part()
            paused = any(each.paused for each in self.listeners)
            await asyncio.sleep(TURN_PAUSED_S if paused else TURN_S)

    async def _statuses(self) -> None:
        while True:
            try:
                self._sources.check(time.monotonic(), self.ledgers())
            except Exception:
                if self._seldom.due(id(self._sources)):
                    log.exception("Sources that fall silent cannot be told.")
            self._write_status()
            await asyncio.sleep(STATUS_S)

    def _write_status(self) -> None:
        path = self.settings.status_file
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(self.status()), encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            log.warning("The status file cannot be written. path=%s error=%s", path, error)


def _allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
