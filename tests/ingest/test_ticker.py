"""Ticks: on quiet partitions that hold records, on no others, and never many."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from confluent_kafka import Producer

from app.broker.server import EmbeddedKafka
from app.ingest import ticker
from app.ingest.ticker import TICK_KEY, Quiet, Ticker
from tests.ingest.rig import listener, make_agent, read_topic, run, until

INTERVAL = 0.25


def test_quiet_is_two_checks_without_a_record() -> None:
    """A partition is due when its end has not moved since the last check."""
    quiet = Quiet()
    assert quiet.check({("t", 0): 5, ("t", 1): 5}) == []
    assert quiet.check({("t", 0): 5, ("t", 1): 6}) == [("t", 0)]
    assert quiet.check({("t", 0): 6, ("t", 1): 6}) == [("t", 1)]


def test_its_own_tick_is_no_record() -> None:
    """A partition that got a tick and nothing else is still quiet; one that got a line is not."""
    quiet = Quiet()
    quiet.check({("t", 0): 5})
    for end in (5, 6, 7):
        assert quiet.check({("t", 0): end}) == [("t", 0)]
        quiet.ticked(("t", 0))
    assert quiet.check({("t", 0): 9}) == []


def test_a_partition_without_records_is_never_due() -> None:
    """A partition that has never had a record is not registered, so it needs no tick."""
    quiet = Quiet()
    assert [quiet.check({("t", 0): 0}) for _ in range(3)] == [[], [], []]


def test_an_error_of_any_kind_ends_no_ticker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else lets windows of quiet sources close, and nobody would hear of a task that is
    gone."""
    monkeypatch.setattr(ticker, "PROBE_S", 0.01)
    made = Ticker({"bootstrap.servers": "127.0.0.1:1"}, {}, lambda _: False)
    asked = []

    def ends() -> dict[tuple[str, int], int]:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("can't start new thread")
        return {}

    async def work() -> None:
        monkeypatch.setattr(made, "ends", ends)
        task = asyncio.create_task(made.run())
        await until(lambda: len(asked) > 1 or task.done(), "the next look")
        assert not task.done()
        task.cancel()

    asyncio.run(work())


def write(kafka: EmbeddedKafka, topic: str, partitions: Sequence[int]) -> None:
    """One line on each of the partitions."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
    for number in partitions:
        producer.produce(topic, b"line", partition=number)
    assert producer.flush(60) == 0


def ticks(kafka: EmbeddedKafka, topic: str, count: int) -> Counter[int | None]:
    """Ticks by partition."""
    found = [each for each in read_topic(kafka.bootstrap, topic, count) if each.value() is None]
    assert {each.key() for each in found} <= {TICK_KEY}
    return Counter(each.partition() for each in found)


@pytest.mark.broker
def test_ticks_come_to_quiet_partitions_alone(
    kafka: EmbeddedKafka, create_topic: Callable[..., str]
) -> None:
    """Of three partitions, a quiet one gets ticks with present times, an empty one none."""
    topic = create_topic("raw.ticked", partitions=3)
    write(kafka, topic, [0, 1])
    started = time.time() * 1000

    async def work() -> None:
        ticker = Ticker({"bootstrap.servers": kafka.bootstrap}, {topic: INTERVAL}, lambda _: False)

        def check() -> None:
            ticker.write(ticker.ends())

        def written(count: int) -> bool:
            ticker.write({})
            return ticker.written[topic] == count

        check()
        for count in (2, 4):
            check()
            await until(lambda: written(count), "ticks on two partitions")  # noqa: B023
        assert ticker.reachable
        for _ in range(4):
            write(kafka, topic, [0, 1])
            check()
        write(kafka, topic, [0])
        check()
        await until(lambda: written(5), "a tick on the one that is quiet again")

    run(work())
    assert ticks(kafka, topic, 16) == {0: 2, 1: 3}
    last = max(each.timestamp()[1] for each in read_topic(kafka.bootstrap, topic, 16))
    assert started - 1 <= last <= time.time() * 1000


@pytest.mark.broker
def test_two_tickers_do_no_harm(kafka: EmbeddedKafka, create_topic: Callable[..., str]) -> None:
    """Two tickers on one topic put no more ticks on it than one would, and keep time going."""
    topic = create_topic("raw.twice")
    write(kafka, topic, [0])

    async def work() -> float:
        client = {"bootstrap.servers": kafka.bootstrap}
        tickers = [Ticker(client, {topic: INTERVAL}, lambda _: False) for _ in range(2)]
        tasks = [asyncio.create_task(each.run()) for each in tickers]
        started = time.monotonic()
        await until(lambda: sum(each.written[topic] for each in tickers) >= 6, "six ticks")
        for task in tasks:
            task.cancel()
        return time.monotonic() - started

    took = run(work())
    count = ticks(kafka, topic, 7)[0]
    assert 6 <= count <= 2 * (took / INTERVAL + 1)


@pytest.mark.broker
def test_no_tick_while_lines_wait(kafka: EmbeddedKafka, create_topic: Callable[..., str]) -> None:
    """A topic whose lines wait in this process is not quiet, however still its partitions are."""
    topic = create_topic("raw.waiting")
    write(kafka, topic, [0])

    async def work() -> None:
        busy = True
        client = {"bootstrap.servers": kafka.bootstrap}
        ticker = Ticker(client, {topic: INTERVAL}, lambda _: busy)
        task = asyncio.create_task(ticker.run())
        await asyncio.sleep(5 * INTERVAL)
        assert not ticker.written
        busy = False
        await until(lambda: ticker.written[topic] >= 1, "a tick")
        task.cancel()

    run(work())


@pytest.mark.broker
def test_the_agent_ticks_all_its_sources(
    kafka: EmbeddedKafka, create_topic: Callable[..., str]
) -> None:
    """Sources that others write to get ticks too, each at its own interval."""
    heard, other = create_topic("raw.heard"), create_topic("raw.other")
    write(kafka, other, [0])
    sources = [topic.removeprefix("raw.") for topic in (heard, other)]

    async def work() -> None:
        agent = make_agent(
            kafka.bootstrap, listener(sources[0]), ticks=dict.fromkeys(sources, INTERVAL)
        )
        await agent.start()
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        writer.write(b"<13>line\n")
        assert agent._ticker is not None
        written = agent._ticker.written
        await until(lambda: written[heard] > 1 and written[other] > 1, "ticks on both")
        assert agent.status()["ticks"] == written.total()
        writer.close()
        assert await agent.stop() == 0
        assert agent.ledgers()[0].received == 1

    run(work())
    assert ticks(kafka, heard, 2)[0] > 0
    assert ticks(kafka, other, 2)[0] > 0
