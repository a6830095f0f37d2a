"""Silent sources, on a clock of the test's own."""

import asyncio
from collections.abc import Callable

import orjson
import pytest

from app.broker.server import EmbeddedKafka
from app.ingest.silence import Silence
from tests.ingest.rig import listener, make_agent, read_topic, run, until


def play(watch: Silence, rates: list[tuple[float, float]]) -> list[tuple[float, str]]:
    """(seconds, messages a second) one after the other, checked every second; what is reported."""
    now = 0.0
    count = 0.0
    found = []
    for seconds, rate in rates:
        for _ in range(int(seconds)):
            now += 1
            count += rate
            found += [(now, each.kind) for each in watch.check(now, {"nas": int(count)})]
    return found


def test_a_source_that_falls_silent() -> None:
    """Reported once, after the time set, and once more when it is back."""
    assert play(Silence({"nas": 60}), [(100, 5), (300, 0), (100, 5)]) == [
        (160, "silent"),
        (401, "back"),
    ]


def test_a_source_that_was_never_heard_is_not_silent() -> None:
    """An agent in reserve says nothing of sources that send to the other one."""
    assert play(Silence({"nas": 60}), [(1_000, 0)]) == []


def test_a_rate_far_below_the_usual_one() -> None:
    """After an hour of 50 a second, 1 a second is reported; a slow decline over hours is not."""
    found = play(Silence({"nas": 900}), [(4_000, 50), (2_000, 1), (1_000, 50)])
    assert [kind for _, kind in found] == ["low", "back"]
    assert 4_300 < found[0][0] < 5_200
    slow = [(1_800.0, 50 * 0.9**n) for n in range(20)]
    assert play(Silence({"nas": 900}), [(4_000, 50), *slow]) == []


def test_few_messages_are_no_rate() -> None:
    """One message a minute, then one in ten, is within what chance does."""
    assert play(Silence({"nas": 3_600}), [(8_000, 1 / 60), (3_000, 1 / 600)]) == []


@pytest.mark.broker
def test_a_silent_source_is_an_event(
    kafka: EmbeddedKafka, create_topic: Callable[..., str]
) -> None:
    """It is a JSON line in the source set for it, a metric, and is taken back when lines come."""
    source = create_topic("raw.quiet").removeprefix("raw.")
    monitor = create_topic("raw.health").removeprefix("raw.")

    async def work() -> None:
        agent = make_agent(
            kafka.bootstrap, listener(source), monitor=monitor, silent_after={source: 2.0}
        )
        await agent.start()
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        writer.write(b"<13>one\n")
        await until(lambda: agent._sources.reports[source, "silent"] == 1, "the silence")
        writer.write(b"<13>two\n")
        await until(lambda: agent._sources.reports[source, "back"] == 1, "the return")
        writer.close()
        assert await agent.stop() == 0

    run(work())
    found = [
        orjson.loads(each.value()) for each in read_topic(kafka.bootstrap, f"raw.{monitor}", 2)
    ]
    assert [each["monitor"] for each in found] == ["source_silent", "source_back"]
    assert {each["source"] for each in found} == {source}
