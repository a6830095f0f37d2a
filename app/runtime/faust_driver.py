"""Faust's transport `northbound://`: its consumer's interface over our engines, and its producer.

Faust's own consumer, commit timers, fetcher and recovery never run. Private names of Faust that
this relies on are listed in tests/runtime/test_faust_contract.py, one test each.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from faust.transport.base import Transport as BaseTransport
from faust.types import TP
from faust.types.transports import ConsumerT
from mode import Service

from app.runtime.delivery import Delivery
from app.runtime.engine import Engine
from app.runtime.errors import EngineError
from app.runtime.faust_message import ROUTE, DeliveryMessage, current_message
from app.runtime.faust_producer import Producer
from app.runtime.faust_refusal import refused

STOP_SECONDS = 30.0
BEAT_SECONDS = 1.0


class Consumer(Service, ConsumerT):  # type: ignore[misc]
    """Turns every engine, and hands its deliveries to the agents through Faust's conductor."""

    def __init__(
        self,
        transport: Any,
        callback: Any,
        on_partitions_revoked: Any,  # noqa: ARG002  # Faust passes them by name
        on_partitions_assigned: Any,  # noqa: ARG002
        **options: Any,
    ) -> None:
        self.transport = transport
        self.app = transport.app
        self.callback = callback
        self.randomly_assigned_topics: set[str] = set()
        self._unacked_messages: set[Any] = set()
        self._subscribed: frozenset[str] | None = None
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._beating: asyncio.Task[None] | None = None
        self._failures: dict[Engine, asyncio.Future[BaseException]] = {}
        super().__init__(**options)

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Start the engines of these topics; Faust calls it once all agents have started."""
        wanted = frozenset(topics)
        if self._subscribed is not None:
            if wanted - self._subscribed:
                raise EngineError(
                    "Topics cannot be added to a running worker; start it again to read "
                    f"{', '.join(sorted(wanted - self._subscribed))}."
                )
            return
        self._subscribed = wanted
        await self.app.topics.on_partitions_assigned({TP(topic, ROUTE) for topic in wanted})
        self.app.flow_control.resume()
        self._beating = self.loop.create_task(self._beat())
        for engine in self.app.start_engines(wanted):
            self._tasks.append(self.loop.create_task(self._run(engine)))

    async def finish(self) -> None:
        """Let the agents finish what is in work, commit it and leave the groups."""
        self._stopping = True
        with self.app.watchdog.guard("the worker's shutdown", STOP_SECONDS):
            await asyncio.gather(*self._tasks)
        if self._beating is not None:
            self._beating.cancel()

    async def on_task_error(self, exc: BaseException) -> None:
        """An agent raised. Faust calls this before it acks the agent's message."""
        message = current_message()
        engines = self._failures if message is None else [message.delivery.engine]
        for engine in engines:
            failure = self._failures.get(engine)
            if failure is not None and not failure.done():
                failure.set_result(exc)

    async def _run(self, engine: Engine) -> None:
        kafka = partial(self.loop.run_in_executor, engine.kafka_thread)
        done: list[Delivery] = []
        try:
            await kafka(engine.start)
            while not self._stopping:
                done = await kafka(engine.turn, done)
                await self.app.when_ready()
                if done:
                    await self._deliver(engine, done)
            await kafka(engine.stop, done)
        except Exception as error:
            self._stopping = True
            await kafka(engine.fail, error)
            await self.app.crash(error)

    async def _deliver(self, engine: Engine, deliveries: list[Delivery]) -> None:
        """Give each delivery to its agents and wait until all are done. Raises what one raised."""
        failure = self._failures[engine] = self.loop.create_future()
        messages = [DeliveryMessage(delivery, self.loop) for delivery in deliveries]
        for message in messages:
            await self.callback(message)
            if not message.refcount and not message.finished.done():
                raise EngineError(f"No agent reads topic {message.topic}.")
        barrier = asyncio.gather(*(message.finished for message in messages))
        await asyncio.wait({failure, barrier}, return_when=asyncio.FIRST_COMPLETED)
        del self._failures[engine]
        if failure.done():
            barrier.cancel()
            raise failure.result()

    async def _beat(self) -> None:
        """Tell the watchdog that the event loop runs.

        It is missed before the engines are, which wait for it and would be named for it.
        """
        every = min(BEAT_SECONDS, self.app.stall_timeout / 6)
        pulse = self.app.watchdog.watch("the event loop", self.app.stall_timeout - 2 * every)
        try:
            while True:
                pulse.beat("running agents, timers and web views")
                await asyncio.sleep(every)
        finally:
            pulse.end()

    def assignment(self) -> set[TP]:
        return {TP(*where) for engine in self.app.engines for where in engine.statistics.positions}

    @property
    def unacked(self) -> set[Any]:
        return self._unacked_messages

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing piles up: the next batch comes when the last one is done."""

    def on_buffer_drop(self, tp: TP) -> None:
        """See on_buffer_full."""

    def stop_flow(self) -> None:
        """The engine decides when to deliver."""

    def resume_flow(self) -> None:
        """See stop_flow."""

    def close(self) -> None:
        """The engines close their own clients."""

    def track_message(self, message: Any) -> None:
        """Completion is told by the message itself."""

    def ack(self, message: Any) -> bool:  # noqa: ARG002
        return False

    async def wait_empty(self) -> None:
        """See finish."""

    async def perform_seek(self) -> None:
        """Positions are the engine's."""

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """See stop_flow."""

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """See stop_flow."""

    def verify_recovery_event_path(self, now: float, tp: TP) -> None:
        """Faust's recovery does not run."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        raise refused("app.commit()", "the engine commits, with the outputs and the stores")

    async def create_topic(self, topic: str, *_: Any, **__: Any) -> None:
        raise refused(f"creating topic {topic}", "create it with `northbound topics create`")

    async def seek(self, partition: TP, offset: int) -> None:  # noqa: ARG002
        raise refused("seek", "positions belong to the transaction")

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:  # noqa: ARG002
        raise refused("seek", "positions belong to the transaction")

    async def getmany(self, timeout: float) -> Any:  # noqa: ARG002
        raise refused("getmany", "agents get batches")

    async def position(self, tp: TP) -> int | None:
        for engine in self.app.engines:
            if tp in engine.statistics.positions:
                return int(engine.statistics.positions[tp])
        return None

    def highwater(self, tp: TP) -> int:
        raise refused(f"highwater of {tp}", "see the lags in /stats")

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:  # noqa: ARG002
        raise refused("earliest_offsets", "stores are restored by the engine")

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:  # noqa: ARG002
        raise refused("highwaters", "stores are restored by the engine")

    def topic_partitions(self, topic: str) -> int | None:  # noqa: ARG002
        return None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> Any:  # noqa: ARG002
        return partition


class Transport(BaseTransport):  # type: ignore[misc]
    """Entry point `northbound` of the group `faust.transports`."""

    Consumer = Consumer
    Producer = Producer
    driver_version = "northbound"
