"""A delivery as a Faust message, and topics whose events carry one delivery each."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.exceptions import ImproperlyConfigured
from faust.types import TP, Message

from app.runtime.delivery import Delivery

ROUTE = -1
"""The partition under which Faust's conductor finds the agents of a topic."""


class DeliveryMessage(Message):  # type: ignore[misc]
    """One delivery on its way through Faust's streams.

    Faust sets `acked` when the last stream is done with a message, whichever of its two stream
    iterators runs; that completes `finished`. An ack is no success: it also comes when the agent
    raised.
    """

    def __init__(self, delivery: Delivery, loop: asyncio.AbstractEventLoop) -> None:
        self.delivery = delivery
        self.finished: asyncio.Future[None] = loop.create_future()
        batch = delivery.batch
        super().__init__(
            topic=batch.topic,
            partition=int(batch.partitions[0]),
            offset=int(batch.offsets[0]),
            timestamp=int(batch.timestamps[-1]) / 1000,
            timestamp_type=0,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            tp=TP(batch.topic, ROUTE),
            generation_id=0,
        )

    @property
    def acked(self) -> bool:
        return self.finished.done()

    @acked.setter
    def acked(self, done: bool) -> None:
        if done and not self.finished.done():
            self.finished.set_result(None)


def current_message() -> DeliveryMessage | None:
    """The delivery that the running agent works on, unless it is done with it."""
    event = faust.current_event()
    message = event.message if event is not None else None
    if isinstance(message, DeliveryMessage) and not message.finished.done():
        return message
    return None


class DeliverySchema(faust.Schema):  # type: ignore[misc]
    """Events get the delivery as their value; what is sent is serialized as Faust does."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        async def decode(message: DeliveryMessage, **_: Any) -> Any:
            return app.create_event(None, message.delivery, None, message)

        return decode


class DeliveryTopic(faust.Topic):  # type: ignore[misc]
    """A topic, or several that one agent reads. Acks stay off: the engine commits."""

    def __init__(self, app: Any, **options: Any) -> None:
        if options.get("pattern"):
            raise ImproperlyConfigured("Name the topics of an agent; patterns are not supported.")
        options["acks"] = False
        options["schema"] = options.get("schema") or DeliverySchema(
            **{
                name: options[name]
                for name in ("key_type", "value_type", "key_serializer", "value_serializer")
                if options.get(name) is not None
            }
        )
        super().__init__(app, **options)

    def get_topic_name(self) -> str:
        """For `faust agents`: all names. Sending to a topic of several names fails as in Faust."""
        if len(self.topics) > 1:
            return ",".join(self.topics)
        return str(super().get_topic_name())


class DeliveryStream(faust.Stream):  # type: ignore[misc]
    """A stream of deliveries. What would hold one back while waiting for the next is refused."""

    def take(self, *_: Any, **__: Any) -> Any:
        raise ImproperlyConfigured(
            "stream.take() waits for further events, but the next batch comes when this one is "
            "done. Each event already is a batch: iterate over its values."
        )

    noack_take = take_events = noack_take_events = take_with_timestamp = take
