"""Who sends from within a batch gets an answer, whoever else sends meanwhile; no broker."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.runtime import faust_producer
from app.runtime.faust_app import App
from app.runtime.faust_producer import Producer
from app.runtime.parcel import Parcel

DEADLINE_S = 60.0


class AtOnce(Executor):
    """A thread that has done everything as soon as it is asked, so that the loop alone decides what
    comes after what."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*arguments))
        return future


class Engine:
    """Answers what was sent when it is served for the `rounds`-th time since."""

    def __init__(self, rounds: int = 1) -> None:
        self.kafka_thread = AtOnce()
        self.rounds = self.left = rounds
        self.under_way: list[Parcel] = []

    def send(self, parcel: Parcel) -> None:
        self.under_way.append(parcel)
        self.left = self.rounds

    def serve(self) -> bool:
        self.left -= 1
        if self.left <= 0:
            for parcel in self.under_way:
                parcel.done(None)
            self.under_way.clear()
        return not self.under_way


def senders(
    folder: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Callable[..., Any]], Any]
) -> None:
    """Run `work` with what sends from a batch of an engine: `await send(engine)`."""

    async def run() -> None:
        app = App("senders", client={"bootstrap.servers": "127.0.0.1:1"}, state=folder)
        producer = Producer(app.transport)

        async def send(engine: Engine) -> asyncio.Future[Any]:
            message = SimpleNamespace(delivery=SimpleNamespace(engine=engine))
            monkeypatch.setattr(faust_producer, "current_message", lambda: message)
            return await producer.send("out", None, b"x", None, None, None)

        async with asyncio.timeout(DEADLINE_S):
            await work(send)

    asyncio.run(run())


def test_senders_of_several_engines_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each engine is served while its senders wait. One that is not would wait for ever: its batch
    is not done before, and nothing is committed before its batch is done."""

    async def work(send: Callable[[Engine], Any]) -> None:
        slow, quick = Engine(rounds=1_000_000), Engine()
        waits = await send(slow)
        await (await send(quick))
        slow.left = 1
        await waits

    senders(tmp_path, monkeypatch, work)


@pytest.mark.parametrize("steps", range(12))
def test_who_sends_when_others_have_just_been_answered_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """At whichever step of the loop it comes."""

    async def work(send: Callable[[Engine], Any]) -> None:
        engine = Engine()
        first = await send(engine)
        for _ in range(steps):
            await asyncio.sleep(0)
        await (await send(engine))
        await first

    senders(tmp_path, monkeypatch, work)
