"""Faust's producer over our engines: what agents, timers and web views send one by one."""

import asyncio
from collections.abc import Mapping
from typing import Any

from faust.transport.producer import Producer as BaseProducer
from faust.types import TP
from faust.types.tuples import RecordMetadata

from app.runtime.engine import Engine
from app.runtime.faust_message import current_message
from app.runtime.faust_refusal import refused
from app.runtime.parcel import Parcel


class Producer(BaseProducer):  # type: ignore[misc]
    """Sends within the transaction of the batch that the caller works on.

    What timers and web views send goes with the next transaction and is answered when that is
    committed. Without engines (`faust send`) it goes out at once.
    """

    def __init__(self, transport: Any, **options: Any) -> None:
        super().__init__(transport, **options)
        self._servers: dict[Engine, asyncio.Task[None]] = {}
        self._waiting: set[Engine] = set()
        """Engines to which something was given since they were last served."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,  # noqa: ARG002
    ) -> asyncio.Future[RecordMetadata]:
        """Returns a future of the record's metadata; its offset is not known (-1)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RecordMetadata] = loop.create_future()
        where = TP(topic, -1 if partition is None else partition)
        answer = RecordMetadata(topic, where.partition, where, -1, timestamp, 0)

        def done(reason: BaseException | None) -> None:
            loop.call_soon_threadsafe(_answer, future, answer, reason)

        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        stamp = int((timestamp or 0) * 1000)
        parcel = Parcel(topic, value, key, partition, stamp, list(pairs), done)
        message = current_message()
        if message is not None:
            engine = message.delivery.engine
            await loop.run_in_executor(engine.kafka_thread, engine.send, parcel)
            self._waiting.add(engine)
            if engine not in self._servers:
                self._servers[engine] = loop.create_task(self._serve(engine))
        else:
            self.app.post(parcel)
        return future

    async def send_and_wait(self, *arguments: Any, **options: Any) -> RecordMetadata:
        return await (await self.send(*arguments, **options))

    async def flush(self) -> None:
        """What is within transactions is flushed by their commits."""
        await self.buffer.flush()

    async def on_stop(self) -> None:
        await super().on_stop()
        await asyncio.to_thread(self.app.close_direct)

    async def create_topic(self, topic: str, *_: Any, **__: Any) -> None:
        raise refused(f"creating topic {topic}", "create it with `northbound topics create`")

    def key_partition(self, topic: str, key: bytes) -> TP:
        raise refused(f"key_partition of {topic} and {key!r}", "librdkafka chooses the partition")

    def supports_headers(self) -> bool:
        return True

    async def _serve(self, engine: Engine) -> None:
        """Answer senders within a batch; nothing else polls the producer while they wait."""
        loop = asyncio.get_running_loop()
        answered = False
        try:
            while not answered or engine in self._waiting:
                self._waiting.discard(engine)
                answered = await loop.run_in_executor(engine.kafka_thread, engine.serve)
        finally:
            # In the same step of the loop as the last look at who waits: nobody comes in between.
            del self._servers[engine]


def _answer(
    future: "asyncio.Future[RecordMetadata]", answer: RecordMetadata, reason: BaseException | None
) -> None:
    if future.done():
        return
    if reason is None:
        future.set_result(answer)
    else:
        future.set_exception(reason)
        future.exception()  # retrieved: not everybody waits for the answer
