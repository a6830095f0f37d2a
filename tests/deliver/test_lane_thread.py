"""What comes out of a lane's work, whatever it is, keeps it from going on for a while only."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.deliver import lane
from app.deliver.lane import Lane
from app.deliver.pauses import nothing


class Panic(BaseException):
    """As native code raises it: no Exception."""


def test_a_panic_ends_no_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would hear of a thread that is gone, and nothing be delivered until the next start."""
    monkeypatch.setattr(lane, "AGAIN_S", 0.01)
    settings: Any = SimpleNamespace(
        name="siem", group="g", feeds=(), shares=False, from_end=False, make=lambda _: None
    )
    made = Lane(settings, {}, ["a"], nothing)
    sessions = []

    def session() -> None:
        sessions.append(1)
        if len(sessions) == 1:
            raise Panic
        made.stop()

    made._session = session  # type: ignore[method-assign]
    made.start()
    made.join(60)
    assert len(sessions) == 2
