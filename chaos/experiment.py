"""One experiment: what it runs on, what it does, and how long it may take."""

from collections.abc import Callable
from dataclasses import dataclass

from chaos.rig import Rig
from chaos.setup import Setup


@dataclass(frozen=True, slots=True)
class Experiment:
    """`run` does the faults under load; `check` adds claims when the books are closed."""

    what: str
    setup: Setup
    run: Callable[[Rig], None]
    seconds: float
    check: Callable[[Rig], None] = lambda _: None
    soak: bool = False
    """Only when asked for by name."""
