"""A response between its lane and its action: in order, one after the other, none forgotten."""

from collections import deque
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.deliver.destination import UnreachableError
from app.deliver.refusals import Refusals
from app.respond.action import Action, AgainError, RefusedError
from app.respond.destination import ResponseDestination, ResponseSettings
from app.respond.limit import Limits
from app.respond.notification import Notification
from app.respond.selection import Selection
from tests.respond.findings import RULE, finding, message
from tests.respond.test_limit import HOUR, Clock
from topology.rules import Rule


class Answers(Action):
    """Answers as it is told, then well; keeps what it has done."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = deque(answers)
        self.done: list[str] = []

    def open(self, address: str) -> None:
        """It is there."""

    def act(self, alert: Notification) -> None:
        """As told."""
        answer = self.answers.popleft() if self.answers else None
        if answer is not None:
            raise answer
        self.done.append(alert.key)

    def close(self) -> None:
        """Nothing is open."""


def response(
    folder: Path, action: Action, limits: Limits | None = None, **more: Any
) -> ResponseDestination:
    given: dict[str, Any] = {"selection": Selection(when=["first"]), "tries": 3, "keeps": True}
    settings = ResponseSettings(
        name="page", refusals=Refusals("page", folder / "refused.ndjson"), **{**given, **more}
    )
    made = ResponseDestination(settings, action, limits)
    made.open("there")
    return made


def kept(folder: Path) -> list[tuple[int, str]]:
    """Offsets and reasons."""
    file = folder / "refused.ndjson"
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [(each["offset"], each["reason"]) for each in map(orjson.loads, lines)]


def test_chosen_and_passed_over(tmp_path: Path) -> None:
    """What is not chosen is acknowledged like what is done, and counted for itself."""
    action = Answers()
    made = response(tmp_path, action)
    for number, state in enumerate(["provisional", "final", "provisional"]):
        made.write([message(finding(number, state), number)])
        assert made.settle(0) == number + 1
    assert action.done == ["uid-0.page.first", "uid-2.page.first"]
    assert (made.skipped, made.refused, made.summed) == (1, 0, 0)


def test_poisoned(tmp_path: Path) -> None:
    """One that is refused, one that fails too often, and what is no alert do not keep back those
    behind them; they are kept with the reason."""
    again = [AgainError("500 no")] * 3
    action = Answers(RefusedError("400 no"), *again)
    made = response(tmp_path, action)
    made.write([message(finding(0), 0)])
    assert made.settle(0) == 1
    for number in (1, 2):
        with pytest.raises(UnreachableError, match=rf"500 no \(try {number} of uid-1.page.first"):
            made.write([message(finding(1), 1)])
        made.close()
        made.open("there")
    made.write([message(finding(1), 1)])
    made.write([message(b"CEF:0|", 2)])
    made.write([message(finding(3), 3)])
    assert made.settle(0) == 3  # since it was opened
    assert action.done == ["uid-3.page.first"]
    assert [offset for offset, _ in kept(tmp_path)] == [0, 1, 2]
    assert [reason for _, reason in kept(tmp_path)][:2] == ["400 no", "500 no (after 3 tries)"]
    assert made.refused == 3


def test_away(tmp_path: Path) -> None:
    """A receiver that is away holds back, however often it is tried."""
    action = Answers(*[UnreachableError("away")] * 50)
    made = response(tmp_path, action)
    for _ in range(50):
        with pytest.raises(UnreachableError, match="away"):
            made.write([message(finding(0))])
    made.write([message(finding(0))])
    assert action.done == ["uid-0.page.first"]
    assert not kept(tmp_path)


def test_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`give_up: log`: its key and the reason are in the log, nothing on disk."""
    made = response(tmp_path, Answers(RefusedError("400 no")), keeps=False)
    made.write([message(finding(5))])
    assert made.settle(0) == 1
    assert "key=uid-5.page.first reason=400 no" in caplog.text
    assert made.refused == 1
    assert not kept(tmp_path)


def test_nowhere_to_keep_it(tmp_path: Path) -> None:
    """A refused alert that cannot be written down is not done, and comes again."""
    (tmp_path / "refused.ndjson").mkdir()
    clock = Clock()
    limits = Limits("page", 5, HOUR, tmp_path / "limits", clock)
    made = response(tmp_path, Answers(*[RefusedError("400 no")] * 2), limits)
    with pytest.raises(UnreachableError, match="cannot be kept"):
        made.write([message(finding(0))])
    made.close()
    (tmp_path / "refused.ndjson").rmdir()
    made.open("there")
    made.write([message(finding(0))])
    assert kept(tmp_path) == [(0, "400 no")]
    made.close()


def test_limited(tmp_path: Path) -> None:
    """The first two are told, the others acknowledged only once they are counted on disk; their
    summary is told when the hour is over, and again until it is taken."""
    action, clock = Answers(), Clock()
    limits = Limits("page", 2, HOUR, tmp_path / "limits", clock)
    made = response(tmp_path, action, limits)
    for number in range(5):
        made.write([message(finding(number), number)])
        made.settle(0)
    assert made.finish(0) == 5
    assert (made.summed, made.skipped) == (3, 0)
    made.close()
    made.open("there")
    made.write([message(finding(4), 4)])  # read again after a kill
    made.settle(0)
    assert made.finish(0) == 1
    assert (made.summed, made.skipped) == (3, 1)
    clock.now = HOUR
    action.answers.append(UnreachableError("away"))
    with pytest.raises(UnreachableError, match="away"):
        made.settle(0)
    made.close()
    made.open("there")
    made.settle(0)
    made.settle(0)
    assert action.done == ["uid-0.page.first", "uid-1.page.first", "uid-2.0.page.summary"]
    made.close()


def test_counts_go_up_with_acknowledgements(tmp_path: Path) -> None:
    """What was dealt with and is not acknowledged when the connection is lost counts once."""
    action, clock = Answers(), Clock()
    limits = Limits("page", 1, HOUR, tmp_path / "limits", clock)
    made = response(tmp_path, action, limits)
    for number in range(3):
        made.write([message(finding(number), number)])
        made.settle(0)
        assert made.settle(0) - made.summed - made.skipped - made.refused in {0, 1}
    action.answers.append(UnreachableError("away"))
    clock.now = HOUR
    with pytest.raises(UnreachableError):
        made.settle(0)
    made.close()
    made.open("there")
    for number in range(3):
        made.write([message(finding(number), number)])
    made.finish(0)
    assert made.summed + made.skipped <= 5
    assert action.done == ["uid-0.page.first", "uid-1.0.page.summary"]
    made.close()


def test_a_storm_that_is_read_again_is_counted_once(tmp_path: Path) -> None:
    """However many were held back since the last save when the connection for another one is
    lost: what was counted is known when it comes again."""

    class Receiver(Action):
        away = False

        def open(self, address: str) -> None:
            """It is there."""

        def act(self, alert: Notification) -> None:  # noqa: ARG002  # as away as it is
            if self.away:
                raise UnreachableError("away")

        def close(self) -> None:
            """Nothing is open."""

    receiver, clock = Receiver(), Clock()
    limits = Limits("page", 1, HOUR, tmp_path, clock)
    made = response(tmp_path, receiver, limits)
    feed = [message(finding(n), n) for n in range(1_501)]
    other = Rule("0ther", "Another rule", "high")
    feed.append(message(finding(1_501, rule=other), 1_501))
    done = 0
    for attempt in range(2):  # as a lane does
        begin = done
        try:
            for each in feed[begin:]:
                receiver.away = attempt == 0 and each is feed[-1]
                made.write([each])
                done = begin + made.settle(0.0)
        except UnreachableError:
            made.close()
            made.open("there")
    limits.open()
    assert limits._windows[RULE.id].held == 1_500


def test_a_full_disk_makes_nobody_do_it_again(tmp_path: Path) -> None:
    """What was done and cannot be noted waits for the disk; the lane connects anew meanwhile, again
    and again, and the alert comes each time."""
    folder = tmp_path / "limits"
    action = Answers()
    limits = Limits("page", 5, 3_600_000, folder, lambda: 0)
    made = response(tmp_path, action, limits)
    full = folder / "page.0.new"
    full.mkdir()
    for _ in range(3):
        made.write([message(finding(1), 1)])
        with pytest.raises(UnreachableError):
            made.settle(0)
        made.close()
        made.open("there")
    full.rmdir()
    made.write([message(finding(1), 1)])
    assert made.settle(0) == 1
    made.close()
    assert action.done == ["uid-1.page.first"]
    again = Limits("page", 5, 3_600_000, folder, lambda: 0)
    again.open()
    assert again.knows("uid-1.page.first")
    again.close()
