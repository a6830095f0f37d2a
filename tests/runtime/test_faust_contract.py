"""One test for each thing of Faust that the driver relies on and Faust does not promise.

When faust-streaming is renewed, a failure here says what moved. Both stream iterators are tried:
Cython's in this process, and pure Python's in one with NO_CYTHON=1. Nothing here can hang.
"""

import asyncio
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
import numpy as np
import pytest
from faust.app.base import App as FaustApp
from faust.exceptions import ImproperlyConfigured
from faust.tables.manager import TableManager
from faust.transport.conductor import Conductor
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.drivers import by_url
from faust.types import TP
from faust.types.transports import ConsumerT
from faust.types.tuples import Message
from faust.worker import Worker as FaustWorker

from app.runtime.delivery import Delivery
from app.runtime.faust_app import App, NoTables
from app.runtime.faust_driver import Consumer, Transport
from app.runtime.faust_message import (
    ROUTE,
    DeliveryMessage,
    DeliveryStream,
    DeliveryTopic,
    current_message,
)
from app.runtime.faust_producer import Producer
from app.runtime.views import VIEWS
from topology.records import Batch

NO_CYTHON = bool(os.environ.get("NO_CYTHON"))
DEADLINE_S = 60.0


def app_in(folder: Path, **options: Any) -> App:
    return App(
        "contract",
        client={"bootstrap.servers": "127.0.0.1:1"},
        state=folder / "state",
        web_enabled=False,
        **options,
    )


def batch() -> Batch:
    numbers = np.array([3, 4], np.int64)
    return Batch("in", numbers.astype(np.int32) * 0, numbers, numbers, [None, None], [b"a", b"b"])


class Engine:
    """What a delivery needs of an engine."""


def run(app: App, body: Callable[[], Awaitable[None]]) -> None:
    """Run agents as a worker does, up to the point where the engines would start.

    In a thread, so that a test that hangs in spite of the event loop's own deadline fails.
    """

    async def main() -> None:
        started = asyncio.Event()

        def start_engines(_: Any) -> list[Any]:
            started.set()
            return []

        app.start_engines = start_engines  # type: ignore[method-assign]
        app.in_worker = True
        async with asyncio.timeout(DEADLINE_S):
            app.finalize()
            await app.start()
            await started.wait()
            try:
                await body()
            finally:
                await app.stop()

    outcome: list[BaseException | None] = []

    def thread() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            outcome.append(error)
        else:
            outcome.append(None)

    runner = threading.Thread(target=thread, daemon=True)
    runner.start()
    runner.join(2 * DEADLINE_S)
    assert outcome, "the app hangs"
    if outcome[0] is not None:
        raise outcome[0]


async def deliver(app: App) -> DeliveryMessage:
    message = DeliveryMessage(Delivery(Engine(), batch()), asyncio.get_running_loop())  # type: ignore[arg-type]
    await app.topics.on_message(message)
    return message


def test_the_entry_point_gives_the_transport() -> None:
    """`faust.transports` maps our URL scheme to a class by `module:Class`."""
    assert by_url("northbound://anywhere:1") is Transport


def test_the_stream_iterator_is_the_one_that_is_meant() -> None:
    """Cython's where it is installed, unless NO_CYTHON is set."""
    from faust import streams

    assert (streams._CStreamIterator is None) == NO_CYTHON


def test_the_last_ack_finishes_a_message(tmp_path: Path) -> None:
    """Two agents of one topic: the message is finished when both are done, and not before."""
    app = app_in(tmp_path)
    gates = [asyncio.Event(), asyncio.Event()]
    seen: list[list[bytes | None]] = []

    def make(gate: asyncio.Event) -> Callable[[Any], Awaitable[None]]:
        async def agent(stream: Any) -> None:
            async for delivery in stream:
                seen.append(list(delivery.values))
                await gate.wait()

        return agent

    for number, gate in enumerate(gates):
        app.agent(app.topic("in"), name=f"agent-{number}")(make(gate))

    async def body() -> None:
        message = await deliver(app)
        assert message.refcount == 2
        gates[0].set()
        await asyncio.sleep(0.05)
        assert not message.finished.done()
        gates[1].set()
        await message.finished
        assert seen == [[b"a", b"b"]] * 2
        assert app.consumer.unacked == set(), "a delivery would be kept for ever"

    run(app, body)


def test_a_message_of_another_generation_is_skipped(tmp_path: Path) -> None:
    """The agent never gets it, and whether it is acked depends on the iterator: ours have 0."""
    app = app_in(tmp_path)
    seen: list[int] = []

    @app.agent(app.topic("in"))
    async def agent(stream: Any) -> None:
        async for _ in stream:
            seen.append(faust.current_event().message.generation_id)  # noqa: PERF401

    async def body() -> None:
        loop = asyncio.get_running_loop()
        other = DeliveryMessage(Delivery(Engine(), batch()), loop)  # type: ignore[arg-type]
        other.generation_id = 1
        await app.topics.on_message(other)
        await (await deliver(app)).finished
        assert seen == [0]

    run(app, body)


def test_an_error_is_told_before_the_ack(tmp_path: Path) -> None:
    """on_task_error runs while the message is unfinished and the agent's event is known."""
    app = app_in(tmp_path)
    told: list[tuple[str, bool]] = []

    @app.agent(app.topic("in"))
    async def agent(stream: Any) -> None:
        async for _ in stream:
            raise ValueError("poison")

    async def body() -> None:
        async def on_task_error(exc: BaseException) -> None:
            message = current_message()
            told.append((str(exc), message is not None and not message.finished.done()))

        app.consumer.on_task_error = on_task_error
        message = await deliver(app)
        await message.finished
        assert told == [("poison", True)]

    run(app, body)


def test_an_error_in_a_yielding_agent_is_told_too(tmp_path: Path) -> None:
    """The same for agents with sinks, whose generator is consumed by Faust."""
    app = app_in(tmp_path)
    told: list[tuple[str, bool]] = []

    def sink(_: Any) -> None:
        raise ValueError("sink")

    @app.agent(app.topic("in"), sink=[sink])
    async def agent(stream: Any) -> Any:
        async for delivery in stream:
            yield len(delivery)

    async def body() -> None:
        called = asyncio.Event()

        async def on_task_error(exc: BaseException) -> None:
            message = current_message()
            told.append((str(exc), message is not None and not message.finished.done()))
            called.set()

        app.consumer.on_task_error = on_task_error
        await deliver(app)
        await called.wait()  # it may never be acked; the engine does not wait for that
        assert told == [("sink", True)]

    run(app, body)


def test_the_consumer_stops_before_the_agents(tmp_path: Path) -> None:
    """App.on_stop calls _stop_consumer first: an agent can finish the batch that is in work."""
    app = app_in(tmp_path)
    story: list[str] = []

    @app.agent(app.topic("in"))
    async def agent(stream: Any) -> None:
        async for _ in stream:
            await asyncio.sleep(0.2)
            story.append("batch done")

    async def body() -> None:
        message = await deliver(app)
        await asyncio.sleep(0.05)

        async def finish() -> None:
            await message.finished
            story.append("consumer done")

        app.consumer.finish = finish

    run(app, body)
    assert story == ["batch done", "consumer done"]


def test_the_consumer_has_all_that_faust_asks_for() -> None:
    """A new abstract method of ConsumerT would fail at the start of every worker."""
    assert not inspect.isabstract(Consumer)
    assert not inspect.isabstract(Producer)
    assert ConsumerT.__abstractmethods__ <= set(dir(Consumer))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (FaustApp, "_stop_consumer"),
        (FaustApp, "_reply_consumer"),
        (FaustApp, "_on_agent_error"),
        (FaustApp, "on_webserver_init"),
        (FaustApp, "_producer_flush"),
        (FaustConsumer, "on_task_error"),
        (Conductor, "on_partitions_assigned"),
        (TableManager, "wait_until_tables_registered"),
        (TableManager, "wait_until_recovery_completed"),
        (Message, "acked"),
        (Message, "refcount"),
        (Message, "tracked"),
        (Message, "generation_id"),
    ],
)
def test_names_that_are_overridden_or_set(owner: type, name: str) -> None:
    """Overriding a name that is not there any more would silently do nothing."""
    assert hasattr(owner, name)


def test_faust_calls_what_is_overridden() -> None:
    """The calls that our overrides wait for are still made."""
    assert "self._stop_consumer()" in inspect.getsource(FaustApp.on_stop)
    assert "self._consumer.on_task_error" in inspect.getsource(FaustApp._on_agent_error)
    assert "app.in_worker = True" in inspect.getsource(FaustWorker)
    assert "self._sentinel_task()" in inspect.getsource(FaustWorker._shutdown_loop)
    assert "asyncio.sleep" in inspect.getsource(FaustWorker._sentinel_task)
    source = inspect.getsource(inspect.getmodule(Conductor))
    assert "wait_until_tables_registered" in source
    assert "self.app.consumer.subscribe" in source
    assert "_unacked_messages" in dir(FaustConsumer) or "_unacked_messages" in inspect.getsource(
        FaustConsumer.__init__
    )


def test_generation_and_flow_are_those_of_delivered_messages(tmp_path: Path) -> None:
    """A message is skipped, and never acked, unless the flow is active and its generation 0."""
    app = app_in(tmp_path)

    @app.agent(app.topic("in"))
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    async def body() -> None:
        assert app.flow_control.is_active()
        assert app.consumer_generation_id == 0
        assert app.topics._tp_to_callback.keys() == {TP("in", ROUTE)}
        assert not app.topics.acking_topics

    run(app, body)


def test_current_event_is_the_delivery_only_while_it_is_in_work(tmp_path: Path) -> None:
    """What a task sends after its batch belongs to no batch."""
    app = app_in(tmp_path)
    inside: list[Any] = []
    late: list[asyncio.Task[Any]] = []
    gate = asyncio.Event()

    async def afterwards() -> Any:
        await gate.wait()
        return current_message()

    @app.agent(app.topic("in"))
    async def agent(stream: Any) -> None:
        async for delivery in stream:
            message = current_message()
            inside.append(message is not None and message.delivery is delivery)
            late.append(asyncio.create_task(afterwards()))

    async def body() -> None:
        assert current_message() is None
        await (await deliver(app)).finished
        gate.set()
        assert inside == [True]
        assert await late[0] is None

    run(app, body)


def test_a_crash_ends_the_app(tmp_path: Path) -> None:
    """The engine's failure is handed to app.crash, which makes `faust worker` exit with 1."""
    app = app_in(tmp_path)
    app.agent(app.topic("in"))(_nothing)

    async def body() -> None:
        await app.crash(ValueError("engine"))
        assert app.should_stop
        assert str(app.crash_reason) == "engine"

    run(app, body)


def test_faust_makes_our_parts(tmp_path: Path) -> None:
    """Consumer, producer, tables, topics and streams are made from the settings that name them."""
    app = app_in(tmp_path)
    app.agent(app.topic("in"))(_nothing)

    async def body() -> None:
        assert type(app.consumer) is Consumer
        assert type(app.producer) is Producer
        assert type(app.tables) is NoTables
        assert type(app.topic("other")) is DeliveryTopic
        assert type(app.stream(app.topic("other"))) is DeliveryStream
        await app.producer.flush()

    run(app, body)


def test_nothing_waits_for_tables(tmp_path: Path) -> None:
    """What Faust itself waits for before it subscribes is set without tables."""
    app = app_in(tmp_path)
    app.agent(app.topic("in"))(_nothing)

    async def body() -> None:
        await TableManager.wait_until_tables_registered(app.tables)
        for name in ("_tables_finalized", "_tables_registered", "_recovery_started"):
            assert name in vars(TableManager(app))
            assert getattr(app.tables, name).is_set()

    run(app, body)


def test_the_web_server_gets_our_views(tmp_path: Path) -> None:
    """on_webserver_init is called with the server before it listens."""
    app = app_in(tmp_path)
    app.web.init_server()
    paths = {view.view_path for view in VIEWS}
    assert paths == {"/ready", "/stats", "/metrics"}
    assert paths <= {resource.canonical for resource in app.web.web_app.router.resources()}


def test_tables_are_refused(tmp_path: Path) -> None:
    """A table would never be recovered; the message says what to use."""
    app = app_in(tmp_path)
    for make in (app.Table, app.GlobalTable, app.SetTable, app.SetGlobalTable):
        with pytest.raises(ImproperlyConfigured, match=r"batch\.store"):
            make("counts")


def test_what_would_hold_a_batch_back_is_refused(tmp_path: Path) -> None:
    """take, ask, commits and patterns would hang, lose or double records."""
    app = app_in(tmp_path)
    with pytest.raises(ImproperlyConfigured, match="always is exactly once"):
        app_in(tmp_path, processing_guarantee="exactly_once")
    with pytest.raises(ImproperlyConfigured, match="patterns"):
        app.topic(pattern="raw.*")

    async def body() -> None:
        # A stream belongs to the event loop that runs when it is made.
        stream = app.stream(app.topic("in"))
        takes = [name for name in dir(faust.Stream) if "take" in name.split("_")]
        assert len(takes) >= 4
        for name in takes:
            with pytest.raises(ImproperlyConfigured, match="Each event already is a batch"):
                getattr(stream, name)(10, within=1)
        with pytest.raises(ImproperlyConfigured, match="the engine commits"):
            await app.commit({"in"})
        with pytest.raises(ImproperlyConfigured, match=r"agent\.cast"):
            await app._reply_consumer.add("id", None)

    app.agent(app.topic("in"))(_nothing)
    run(app, body)


async def _nothing(stream: Any) -> None:
    async for _ in stream:
        pass


def test_a_topic_belongs_to_one_engine(tmp_path: Path) -> None:
    """Two engines on one topic would each deliver all of it to all agents."""
    app = app_in(tmp_path)
    app.add_engine("one", ["in"])
    with pytest.raises(ImproperlyConfigured, match="in belong to another engine"):
        app.add_engine("two", ["other", "in"])


def test_an_agent_of_several_topics_has_a_name_to_list(tmp_path: Path) -> None:
    """`faust agents` shows all topics of an agent."""
    topic = app_in(tmp_path).topic("a", "b")
    assert topic.get_topic_name() == "a,b"


def test_the_minor_version_is_the_one_that_was_read() -> None:
    """The private names above were read in 0.15."""
    assert faust.__version__.startswith("0.15.")


@pytest.mark.skipif(NO_CYTHON, reason="is the inner run")
def test_pure_python_iterators_keep_the_contract() -> None:
    """All of this file again with NO_CYTHON=1."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "NO_CYTHON": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "failed" not in done.stdout
    assert " passed" in done.stdout
