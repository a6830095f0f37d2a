"""What stages and rules cost, by a clock that the caller brings; without one nothing is measured.

Stages are named by `isolate.stage`. Rules are tested over shared atoms, so a rule is charged with
what it is the first to test, and columns that many rules share are a part of the stage `match`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Nanoseconds that only grow."""


@dataclass(slots=True)
class Meter:
    """Nanoseconds by (stage, component), and by rule id where `rules` are measured."""

    clock: Clock
    rules: bool = False
    stages: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_rule: Counter[str] = field(default_factory=Counter)
    within: str = ""
    """The stage that runs now."""


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def measuring(meter: Meter) -> Iterator[Meter]:
    """Measure what runs inside."""
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)


@contextmanager
def measured(stage: str, component: str) -> Iterator[None]:
    """Charge what runs inside to a stage, if someone measures. Stages do not nest."""
    meter = _METER.get()
    if meter is None:
        yield
        return
    started = meter.clock()
    outer, meter.within = meter.within, stage
    try:
        yield
    finally:
        meter.within = outer
        meter.stages[stage, component] += meter.clock() - started


def rules_within(stage: str) -> Meter | None:
    """The meter, where rules are measured and this stage runs."""
    meter = _METER.get()
    return meter if meter is not None and meter.rules and meter.within == stage else None
