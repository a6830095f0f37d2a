"""Silent sources, on a clock of the test's own."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.broker.server import EmbeddedKafka
from app.ingest.silence import Report, Silence
from app.ingest.sources import event
from app.rules import load_rules
from tests.ingest.rig import listener, make_agent, read_topic, run, until
from tests.topology.deployment import steps
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.testing import TopologyTestDriver
from topology.topics import Names

RULES = Path(__file__).parents[2] / "rules" / "northbound"


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


def day(at_day: float, at_night: float) -> list[tuple[float, float]]:
    """Twelve hours of each; it changes from one second to the next."""
    return [(43_200, at_day), (43_200, at_night)]


def play_minutes(watch: Silence, rates: list[tuple[float, float]]) -> list[tuple[float, str]]:
    """As `play`, checked every twenty seconds; times in hours."""
    now = 0.0
    count = 0.0
    found = []
    for seconds, rate in rates:
        for _ in range(int(seconds) // 20):
            now += 20
            count += 20 * rate
            found += [(now / 3600, each.kind) for each in watch.check(now, {"nas": int(count)})]
    return found


def test_nights_are_usual() -> None:
    """A source that sends a fiftieth at night is reported in its first night alone; that it stays
    there when the day begins is reported within ten minutes."""
    watch = Silence({"nas": 86_400})
    found = play_minutes(watch, [*day(100, 2) * 5, (7_200, 2), (7_200, 100)])
    assert [kind for _, kind in found] == ["low", "back", "low", "back"]
    assert 12 < found[0][0] < 12.5
    assert found[1][0] == pytest.approx(24, abs=0.2)
    late = 5 * 24 + 1.0  # the hour beside this one is a night's
    assert found[2][0] == pytest.approx(late, abs=0.2)


def test_weekends_are_usual_from_the_second_on() -> None:
    """Five days of much and two of little: the first Saturday is reported, no other."""
    week = [(5 * 86_400, 100.0), (2 * 86_400, 2.0)]
    found = play_minutes(Silence({"nas": 86_400}), week * 3)
    assert [kind for _, kind in found] == ["low", "back"]
    assert 120 < found[0][0] < 121


def test_a_fall_in_the_middle_of_the_day_is_seen_on_any_day() -> None:
    """On the first and on the tenth; it is back only when it really is."""
    for days in (1, 10):
        rates = [(days * 86_400, 100.0), (4 * 3_600, 5.0), (3_600, 100.0)]
        found = play_minutes(Silence({"nas": 86_400}), rates)
        assert [kind for _, kind in found] == ["low", "back"], days
        assert found[0][0] == pytest.approx(days * 24, abs=0.5)
        assert found[1][0] == pytest.approx(days * 24 + 4, abs=0.2)


def test_what_stays_is_usual_after_some_days() -> None:
    """A source that was moved away for the most part is not called low for ever."""
    rates = [(4 * 86_400, 100.0), (20 * 86_400, 4.0), (86_400, 0.1)]
    found = play_minutes(Silence({"nas": 864_000}), rates)
    assert [kind for _, kind in found] == ["low", "back", "low"]
    assert found[1][0] < 4 * 24 + 15 * 24


def test_the_share_is_set_by_source() -> None:
    """Half is too little for one source, and nothing is for another."""
    rates = [(8_000.0, 50.0), (3_000.0, 20.0)]
    assert [kind for _, kind in play(Silence({}, {"nas": 0.5}), rates)] == ["low"]
    assert play(Silence({}, {"nas": 0.0}), [(8_000, 50), (3_000, 0.5)]) == []


def alerts_of(lines: list[bytes]) -> list[dict[str, Any]]:
    """Final alerts that the shipped rules make of monitoring events."""
    names = Names()
    plan = Plan(
        names=names,
        sources={"health": SourcePlan("health", "json")},
        tenants={"ops": TenantPlan("ops", frozenset({"health"}))},
        origins={names.raw("health"): "AAAAAAAAAAA"},
        rules=load_rules([RULES]),
    )
    driver = TopologyTestDriver(steps(plan), partitions={names.matches: plan.matches_partitions})
    for line in lines:
        driver.pipe(names.raw("health"), line, timestamp=int(time.time() * 1000))
    driver.run()
    assert len(driver.read(names.events("ops"))) == len(lines)
    return [orjson.loads(each.value or b"") for each in driver.read(names.alerts("ops"))]


def test_shipped_rules_make_alerts_of_what_is_set() -> None:
    """A silent and a low source alert where their reports are to; a source whose reports are not,
    one that is back, and a text that looks like such an event do not."""
    silent = Report("nas", "silent", 900.0, 0.0, 12.0)
    low = Report("fw", "low", 0.0, 0.5, 12.0)
    quiet = [
        event(silent, alert=False),
        event(low, alert=False),
        event(Report("nas", "back", 0.0, 9.0, 12.0), alert=False),
        orjson.dumps({"message": '"monitor":"source_silent" "alert":true'}),
    ]
    assert alerts_of(quiet) == []
    found = alerts_of([*quiet, event(silent, alert=True), event(low, alert=True)])
    titles = sorted(each["finding_info"]["title"] for each in found)
    assert titles == ["Source has fallen silent", "Source sends far less than usual"]
    reported = {each["finding_info"]["related_events"][0]["uid"] for each in found}
    assert reported == {"AAAAAAAAAAA-0-4", "AAAAAAAAAAA-0-5"}


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
            kafka.bootstrap,
            listener(source),
            monitor=monitor,
            silent_after={source: 2.0},
            alert_on={source: frozenset({"silent"})},
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
    assert {each["source"] for each in found} == {source}
    told = [(each["monitor"], each["alert"]) for each in found]
    assert told[:2] == [("source_silent", True), ("source_back", False)]
