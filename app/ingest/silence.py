"""Sources that fall silent, or far below their usual rate: judged from counts and a clock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from app.ingest.usual_rate import UsualRate

Kind: TypeAlias = Literal["silent", "low", "back"]

KNOWN_S: Final = 3600.0
"""The usual rate is known after so long."""
RECENT_S: Final = 300.0
LOW: Final = 0.1
BACK: Final = 3.0
"""A source is back when its rate is so many times what is too low, or all that is usual."""
FEWEST: Final = 100.0
"""Fewer messages than so many in RECENT_S are too few to judge a rate by."""


class Report(NamedTuple):
    """What happened to a source. Rates are messages a second."""

    source: str
    kind: Kind
    silent_s: float
    rate: float
    usual: float

    @property
    def text(self) -> str:
        """For people."""
        if self.kind == "silent":
            return f"Source {self.source} has sent nothing for {self.silent_s:.0f} s"
        if self.kind == "low":
            return (
                f"Source {self.source} sends {self.rate:.1f} messages a second; "
                f"{self.usual:.1f} are usual"
            )
        return f"Source {self.source} sends as usual again"


@dataclass(slots=True)
class _Watched:
    count: int
    since: float
    heard: float
    checked: float
    usual: UsualRate
    recent: float = 0.0
    state: Kind = "back"


class Silence:
    """Watches sources once they were heard. `silent_after`: seconds, by source. `low_rate`: share
    of its usual rate below which a source is reported, by source; 0 for never."""

    def __init__(
        self, silent_after: Mapping[str, float], low_rate: Mapping[str, float] | None = None
    ) -> None:
        self.silent_after = dict(silent_after)
        self.low_rate = dict(low_rate or {})
        self._watched: dict[str, _Watched] = {}

    def check(self, now: float, received: Mapping[str, int]) -> list[Report]:
        """What changed since the last check. `received`: messages so far, by source."""
        reports = []
        for source, count in received.items():
            watched = self._watched.get(source)
            if watched is None:
                if count:
                    self._watched[source] = _Watched(count, now, now, now, UsualRate(now))
                continue
            if (kind := self._judge(source, watched, now, count)) is not None:
                watched.state = kind
                silent = now - watched.heard
                usual = watched.usual.at(now)
                reports.append(Report(source, kind, silent, watched.recent, usual))
        return reports

    def _judge(self, source: str, watched: _Watched, now: float, count: int) -> Kind | None:
        passed = now - watched.checked
        if passed <= 0:
            return None
        new = max(0, count - watched.count)  # a reload starts counts anew
        watched.count, watched.checked = count, now
        rate = new / passed
        watched.recent += (rate - watched.recent) * -math.expm1(-passed / RECENT_S)
        age = now - watched.since
        watched.usual.add(now, passed, rate, usual=watched.state == "back")
        if new:
            watched.heard = now
        if now - watched.heard >= self.silent_after.get(source, math.inf):
            return None if watched.state == "silent" else "silent"
        if watched.state == "silent":
            return "back" if new else None
        usual, low = watched.usual.at(now), self.low_rate.get(source, LOW)
        if watched.state == "back":
            enough = age > KNOWN_S and usual * RECENT_S >= FEWEST
            return "low" if enough and watched.recent < low * usual else None
        return "back" if watched.recent >= min(BACK * low, 1.0) * usual else None
