"""What a process costs, seen from outside (/proc), and build/bench.json."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

RESULTS = Path("build/bench.json")
TICKS = os.sysconf("SC_CLK_TCK")


class Measurement(NamedTuple):
    """One figure. The unit is the end of the metric's name."""

    case: str
    system: str
    metric: str
    value: float


class Sample(NamedTuple):
    """How far a system was when: `done` events, `cpu` seconds since its start, `at` monotonic."""

    done: int
    cpu: float
    at: float


class Watch:
    """The life of one process and its children, from its start to its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.started = time.monotonic()
        self.peak_kb = 0
        self.samples: list[Sample] = []

    def sample(self, done: int) -> None:
        """Note the CPU time and memory so far against the events done so far."""
        tree = _tree(self.pid)
        self.peak_kb = max(self.peak_kb, sum(map(_peak_kb, tree)))
        self.samples.append(Sample(done, sum(map(_cpu, tree)), time.monotonic()))

    def steady_us_per_event(self) -> float | None:
        """CPU per event between half and 98 % of all events, in microseconds.

        None when it went too fast to be looked at twice in between.
        """
        total = self.samples[-1].done
        window = [s for s in self.samples if 0.5 * total <= s.done <= 0.98 * total]
        if len(window) < 2 or window[0].done == window[-1].done:
            return None
        first, last = window[0], window[-1]
        return (last.cpu - first.cpu) / (last.done - first.done) * 1e6


def reap(pid: int, deadline_s: float) -> tuple[int, float]:
    """Wait for a child: its exit status and the user + system seconds of its whole life.

    The kernel adds the children that it waited for. Raises TimeoutError when it outlives the
    deadline.
    """
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        time.sleep(0.05)
    raise TimeoutError(f"process {pid} did not stop within {deadline_s:g} s of SIGTERM")


def write(measurements: Iterable[Measurement], path: Path = RESULTS) -> None:
    """Put figures into bench.json, in place of older ones of the same case, system and metric."""
    kept = {m[:3]: m for m in read(path)} if path.exists() else {}
    kept.update({m[:3]: m for m in measurements})
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [m._asdict() for m in kept.values()]
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def read(path: Path = RESULTS) -> list[Measurement]:
    """The figures in bench.json."""
    return [Measurement(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def show(case: str, measurements: Sequence[Measurement]) -> None:
    """Print figures as a table: a row for each metric, a column for each system."""
    systems = list(dict.fromkeys(m.system for m in measurements))
    table = Table("metric", *systems, title=case)
    for metric in dict.fromkeys(m.metric for m in measurements):
        values = {m.system: m.value for m in measurements if m.metric == metric}
        table.add_row(metric, *(f"{values[s]:,.2f}" if s in values else "" for s in systems))
    Console().print(table)


def _tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, path.read_text(encoding="ascii").split())
            except OSError:  # the thread ended in between
                continue
    return found


def _cpu(pid: int) -> float:
    """User + system seconds of a process and of the children it has waited for (proc(5) stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / TICKS


def _peak_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    lines = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(next(lines, "VmHWM: 0 kB").split()[1])
