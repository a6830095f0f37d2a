"""What a benchmark is asked for."""

from dataclasses import dataclass
from pathlib import Path

from bench.workload import LINES


@dataclass(frozen=True)
class Options:
    """`runs`: the best of so many counts. `lines`: of one pass; fewer than LINES are for a look and
    write no figures. `events`: how many in all, None for the case's own number. `systems`: names of
    those to run, empty for all. `sigma_rules` and `sysmon_events`: data of the case sigma, if not
    where NORTHBOUND_DATA says."""

    seed: int = 1
    runs: int = 1
    lines: int = LINES
    events: int | None = None
    systems: tuple[str, ...] = ()
    sigma_rules: Path | None = None
    sysmon_events: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether figures of this are to be kept."""
        return self.lines == LINES and self.events is None

    def passes(self, events: int) -> tuple[int, int]:
        """Passes over the lines, and lines, for a case's own number of events."""
        wanted = self.events or events * self.lines // LINES
        return max(1, wanted // self.lines), min(self.lines, wanted)
