"""What each stage and each rule costs in CPU time, on a clock that comes from outside.

Whoever runs a sub-topology opens its books around the call (`Costs.measure`); what runs inside
finds them with `costs()`, so that no stage has to hand them on. Without books nothing is measured.
A stage's time is its own: that of a stage inside another is not counted twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeAlias

Part: TypeAlias = tuple[str, str]
"""Stage and component, or id and title of a rule."""

READ_S: Final = 1e-6
"""What one look at the clock costs, in seconds, generously."""
SHARE: Final = 0.005
"""Looks at the clock between rules may take this share of all the time that is measured."""
OTHER: Final[Part] = ("other", "")


class Costs:
    """CPU seconds so far, by stage and component (`stages`) and by rule (`rules`).

    `clock` gives CPU seconds; the calling thread's, so each measure begins and ends in one thread.
    To look at the clock between any two of a thousand rules costs more than many rules do. So one
    pass in several is looked at, and all the time that rules took since the last such pass is
    shared out as that pass was: rules add up to the stages they are part of.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.stages: dict[Part, float] = {}
        self.rules: dict[Part, float] = {}
        self._clock = clock
        self._open: list[Part] = []
        self._mark = 0.0
        self._unshared = 0.0
        self._since = 0.0

    @contextmanager
    def measure(self, part: Part = OTHER) -> Iterator[None]:
        """Measure what runs inside; what no stage inside claims is the cost of `part`."""
        token = _CURRENT.set(self)
        try:
            with self.stage(*part):
                yield
        finally:
            _CURRENT.reset(token)

    @contextmanager
    def stage(self, name: str, component: str = "") -> Iterator[None]:
        """What runs inside is the cost of this component of a stage."""
        if self._clock is None:
            yield
            return
        self._charge()
        self._open.append((name, component))
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    @contextmanager
    def rule_pass(
        self, name: str, component: str, rules: int
    ) -> Iterator[Callable[[Part], None] | None]:
        """As `stage`, around work on so many rules one after the other.

        Call what it gives after the work on each rule; it gives None in most passes.
        """
        if self._clock is None:
            yield None
            return
        looked = not self.rules or self._since * SHARE >= rules * READ_S
        pass_ = _Pass(self._clock) if looked else None
        with self.stage(name, component):
            before = self._sum(name, component)
            yield pass_.worked if pass_ else None
        self._unshared += self._sum(name, component) - before
        if pass_ and pass_.total > 0:
            scale = self._unshared / pass_.total
            for rule, seconds in pass_.seconds.items():
                self.rules[rule] = self.rules.get(rule, 0.0) + seconds * scale
            self._unshared = self._since = 0.0

    def _sum(self, name: str, component: str) -> float:
        return self.stages.get((name, component), 0.0)

    def _charge(self) -> None:
        """The time since the last look is that of the innermost stage."""
        if self._clock is None:
            return
        now = self._clock()
        if self._open:
            part, passed = self._open[-1], max(0.0, now - self._mark)
            self.stages[part] = self.stages.get(part, 0.0) + passed
            self._since += passed
        self._mark = now


class _Pass:
    """One pass over rules that is looked at."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds: dict[Part, float] = {}
        self.total = 0.0
        self._clock = clock
        self._mark = clock()

    def worked(self, rule: Part) -> None:
        now = self._clock()
        passed = max(0.0, now - self._mark)
        self.seconds[rule] = self.seconds.get(rule, 0.0) + passed
        self.total += passed
        self._mark = now


_NONE: Final = Costs()
_CURRENT: Final[ContextVar[Costs]] = ContextVar("costs", default=_NONE)


def costs() -> Costs:
    """The books of whoever called; some that measure nothing if there are none."""
    return _CURRENT.get()
