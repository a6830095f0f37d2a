"""A Faust app whose agents work on batches, exactly once.

    app = App("audit", client={"bootstrap.servers": "localhost:9092"}, state=Path("state"))

    @app.agent(app.topic("raw.qumulo"))
    async def copy(stream):
        async for batch in stream:
            batch.send("copies", batch.values)

One batch is one event; when the agent asks for the next one, its outputs, store changes and offsets
are committed in one transaction. `app.Table`, `stream.take` and `agent.ask` are refused.
"""

import asyncio
import gc
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import faust
from faust.exceptions import ImproperlyConfigured
from faust.tables import TableManager

from app.runtime.direct import Direct
from app.runtime.engine import Engine
from app.runtime.faust_message import DeliveryStream, DeliveryTopic
from app.runtime.parcel import Parcel
from app.runtime.settings import STALL_S, EngineSettings
from app.runtime.slots import Slot, take_slot
from app.runtime.views import VIEWS
from app.runtime.watchdog import Watchdog
from topology.records import SubTopology

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

log = logging.getLogger("northbound.runtime")

GC_THRESHOLD = 50_000
HARD = 1.2
"""The watchdog's hard limit in stall time-outs: late enough that it can give its reason first."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine to make when the worker starts; `options` are those of EngineSettings."""

    name: str
    group: str
    topics: tuple[str, ...]
    sub_topology: SubTopology | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class NoTables(TableManager):  # type: ignore[misc]
    """State is in the engine's stores; Faust's tables cannot be exact under its recovery."""

    async def on_start(self) -> None:
        """Nothing to recover."""
        self._tables_finalized.set()
        self._tables_registered.set()
        self._recovery_started.set()

    async def wait_until_tables_registered(self) -> None:
        """There are none."""

    async def wait_until_recovery_completed(self) -> bool:
        """Readiness is /ready; False means that the app was not stopped meanwhile."""
        return False

    def add(self, table: Any) -> Any:
        _refuse_tables(table)


class Worker(faust.Worker):  # type: ignore[misc]
    """Faust's own, less a second: a restart is to be done before the session's end."""

    async def _sentinel_task(self) -> None:
        """Mode sleeps here, so that the loop does what is left; the engines have left nothing."""
        await asyncio.sleep(0.05)


class App(faust.App):  # type: ignore[misc]
    """See the module. `client` is librdkafka's configuration of how to reach the brokers."""

    def __init__(
        self,
        id: str,  # noqa: A002  # Faust's name
        *,
        client: Mapping[str, Any],
        state: Path,
        stall_timeout: float = STALL_S,
        engine_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """`engine_options` (of EngineSettings) are for all engines; `options` are Faust's."""
        if "processing_guarantee" in options:
            raise ImproperlyConfigured(
                "processing_guarantee: leave it out, this transport always is exactly once."
            )
        self.client = client
        self.state_directory = state
        self.stall_timeout = stall_timeout
        self.engines: list[Engine] = []
        self.collectors: list[Collector] = []
        """More of what /metrics has."""
        self.ready = False
        self.once_ready: list[Callable[[], Awaitable[None]]] = []
        """What is called when it gets so."""
        # The hard limit also ends a process whose interpreter is blocked by native code.
        self.watchdog = Watchdog(hard_limit=stall_timeout * HARD)
        self._engine_options = dict(engine_options or {})
        self._specs: list[EngineSpec] = []
        self._slot: Slot | None = None
        self._direct: Direct | None = None
        self._early: deque[Parcel] = deque()
        state.mkdir(parents=True, exist_ok=True)
        super().__init__(
            id,
            **{
                "broker": "northbound://" + str(client["bootstrap.servers"]).split(",")[0],
                "datadir": state / "faust",
                "key_serializer": "raw",
                "value_serializer": "raw",
                "stream_wait_empty": False,
                "topic_allow_declare": False,
                "topic_disable_leader": True,
                "reply_create_topic": False,
                "web_stats_enabled": False,
                "web_tables_enabled": False,
                "web_router_enabled": False,
                "TableManager": NoTables,
                "Worker": Worker,
                "Topic": DeliveryTopic,
                "Stream": DeliveryStream,
                **options,
            },
        )

    def add_engine(
        self, name: str, topics: Sequence[str], *, group: str | None = None, **options: Any
    ) -> None:
        """Give the agents of these topics an engine of their own.

        `options` are those of EngineSettings, such as `changelogs` or `coalesce`. Topics that no
        engine has get one named like the app, without stores.
        """
        self._add(EngineSpec(name, group or name, tuple(topics), None, options))

    def add_sub_topology(
        self, sub_topology: SubTopology, topics: Sequence[str], *, group: str, **options: Any
    ) -> Any:
        """Run a sub-topology on these topics: an agent of its name, with an engine of its own.

        `options` are those of EngineSettings, such as `changelogs` (store name to topic),
        `coalesce` or `max_batch`.
        """
        self._add(EngineSpec(sub_topology.name, group, tuple(topics), sub_topology, options))

        async def run(stream: Any) -> None:
            async for delivery in stream:
                await delivery.process()

        run.__doc__ = (type(sub_topology).__doc__ or "").partition("\n")[0]
        return self.agent(self.topic(*topics), name=sub_topology.name)(run)

    def start_engines(self, subscribed: Iterable[str]) -> list[Engine]:
        """Make the engines of the subscribed topics; the consumer calls it once."""
        specs = list(self._specs)
        rest = set(subscribed) - {topic for spec in specs for topic in spec.topics}
        if rest:
            specs.append(EngineSpec(self.conf.id, self.conf.id, tuple(sorted(rest))))
        self._slot = take_slot(self.state_directory)
        log.info("Worker slot taken. identity=%s slot=%d", self._slot.identity, self._slot.number)
        self.watchdog.start()
        self.engines = [self._engine(spec, self._slot) for spec in specs]
        while self._early:
            self.engines[0].post(self._early.popleft())
        return self.engines

    async def when_ready(self) -> None:
        """Once all engines are ready: everything made so far is no garbage, never look again."""
        if self.ready or not self.engines:
            return
        if all(engine.statistics.ready for engine in self.engines):
            self.ready = True
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD, 20, 20)
            log.info("Ready. engines=%s", [engine.settings.name for engine in self.engines])
            for call in self.once_ready:
                await call()

    def post(self, parcel: Parcel) -> None:
        """Send with the next transaction of the first engine; without engines at once."""
        if self.engines:
            self.engines[0].post(parcel)
        elif self.in_worker:
            self._early.append(parcel)
        else:
            self._direct = self._direct or Direct(self.client)
            self._direct.post(parcel)

    def close_direct(self) -> None:
        """Wait for records that were sent outside of transactions."""
        if self._direct is not None:
            self._direct.close()
            self._direct = None

    def on_webserver_init(self, web: Any) -> None:
        """Add /ready, /stats and /metrics."""
        for view in VIEWS:
            web.add_view(view)

    async def _stop_consumer(self) -> None:
        # Called before Faust stops the agents: they finish the batch that is in work.
        if self._consumer is not None:
            await self._consumer.finish()
        if self._slot is not None:
            self._slot.release()
            self._slot = None
        self.watchdog.stop()

    def _add(self, spec: EngineSpec) -> None:
        taken = {topic for other in self._specs for topic in other.topics} & set(spec.topics)
        if taken:
            raise ImproperlyConfigured(
                f"Engine {spec.name}: topics {', '.join(sorted(taken))} belong to another engine."
            )
        self._specs.append(spec)

    def _engine(self, spec: EngineSpec, slot: Slot) -> Engine:
        options = {
            "stall_timeout": self.stall_timeout,
            **self._engine_options,
            **spec.options,
        }
        settings = EngineSettings(
            name=spec.name,
            group=spec.group,
            topics=spec.topics,
            instance=slot.instance(spec.group),
            client=self.client,
            state=self.state_directory,
            **options,
        )
        return Engine(settings, spec.sub_topology, watchdog=self.watchdog)

    @property
    def _reply_consumer(self) -> Any:
        return _NoReplies(self, loop=self.loop, beacon=self.beacon)

    def Table(self, *names: Any, **_: Any) -> NoReturn:  # noqa: N802  # Faust's name
        _refuse_tables(names)

    GlobalTable = SetTable = SetGlobalTable = Table


class _NoReplies(faust.agents.ReplyConsumer):  # type: ignore[misc]
    async def add(self, correlation_id: str, promise: Any) -> None:  # noqa: ARG002
        raise ImproperlyConfigured(
            "agent.ask() is not available with the northbound transport: a reply would come with "
            "the batch that waits for it. Use agent.cast() or send to a topic."
        )


def _refuse_tables(table: Any) -> NoReturn:
    raise ImproperlyConfigured(
        f"Faust tables are not available with the northbound transport ({table}): their recovery "
        "is not exact under transactions. Give the engine a store: app.add_engine(name, topics, "
        "changelogs={'store': 'changelog-topic'}) and use batch.store('store')."
    )
