"""Silent sources, on a clock of the test's own."""

from app.ingest.silence import Silence


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
