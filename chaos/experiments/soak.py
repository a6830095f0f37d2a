"""Thirty minutes at a steady rate: memory and lag stay flat. Only as CASE=soak."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median

from app.lag import lags
from app.reading import ReadingError
from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup

SOAK_S = float(os.environ.get("SOAK_S", "1800"))
RATE = int(os.environ.get("SOAK_RATE", "6000"))
"""Lines a second; about 60 % of what everything together takes on two cores."""
MODULE = os.environ.get("SOAK_MODULE", "app.worker")
"""chaos.leaking has workers that leak, to see that the experiment fails."""
LOOK_S = 1.0
"""Between two looks at memory."""
LEAST_S = 20.0
"""Of what is seen within this time the least counts: a batch takes up to 200 MiB while it is in
work, most of all after the machine stood still, and gives them back."""
EVERY_S = 10.0
"""Between two looks at what is left to work off."""
LAG_S = 5.0
"""Seconds of input that may be left to work off, at nearly every look: a machine with other work
stands still now and then."""
LATE_LAG_S = 1.0
"""The same in the last third, in the median: what is left does not grow."""
WARM_S = 300.0
GROWTH = 0.10
"""Of the warm memory, what may come to it in the time of the soak."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process over a run, in MiB, when it is warm and between batches."""

    warm: float
    late: float
    per_minute: float
    """Slope of the line through what was seen of the warm process."""
    minutes: float
    """Of the whole run."""

    @property
    def flat(self) -> bool:
        """Neither the end nor the slope tells of a leak: of the two, one is noise at times."""
        grown = min(self.late - self.warm, self.per_minute * self.minutes)
        return grown <= GROWTH * self.warm

    def __str__(self) -> str:
        return f"{self.warm:.0f} → {self.late:.0f} ({self.per_minute:+.2f} a minute)"


def memory(samples: Sequence[tuple[float, float]]) -> Memory:
    """What (seconds, MiB) say; two minutes of them at least.

    The first half is warming up, as windows of ten minutes have to have closed; at least five
    minutes of it, but two thirds of a short run.
    """
    start, end = samples[0][0], samples[-1][0]
    warm = start + max((end - start) / 2, min(WARM_S, (end - start) * 2 / 3))
    least: dict[int, float] = {}
    for at, size in samples:
        if at >= warm:
            span = int((at - warm) // LEAST_S)
            least[span] = min(size, least.get(span, size))
    seen = [(warm + span * LEAST_S, size) for span, size in least.items()]
    part = max(1, len(seen) // 4)
    minutes, sizes = [at / 60 for at, _ in seen], [size for _, size in seen]
    slope, _ = linear_regression(minutes, sizes)
    return Memory(median(sizes[:part]), median(sizes[-part:]), slope, (end - start) / 60)


def _resident(pid: int | None) -> float:
    """Resident memory in MiB; 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    sizes = (int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))
    return next(sizes, 0) / 1024


def _soak(rig: Rig) -> None:
    names = ["agent", *(each.name for each in rig.workers)]
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    behind: list[int] = []
    started = told = time.monotonic()
    while time.monotonic() < started + SOAK_S:
        rig.wait(LOOK_S)
        now = time.monotonic()
        for name, process in zip(names, (rig.agent, *rig.workers), strict=True):
            seen[name].append((now - started, _resident(process.pid)))
        if now < told + EVERY_S:
            continue
        told = now
        try:
            behind.append(sum(level.lag or 0 for level in lags(rig.config).values()))
        except ReadingError as error:
            rig.say(f"lag is not known: {error}")
        sizes = ", ".join(f"{name} {samples[-1][1]:.0f} MiB" for name, samples in seen.items())
        rig.say(f"{sizes}, records behind {behind[-1:]}")
    for name, samples in seen.items():
        found = memory(samples)
        rig.measured[f"{name} MiB"] = str(found)
        rig.claim(f"memory of {name} is flat: {found} MiB", ok=found.flat)
    rate = RATE * rig.setup.scale
    part = max(1, len(behind) // 3)
    first, last = median(behind[:part]), median(behind[-part:])
    often = sorted(behind)[int(len(behind) * 0.95)]
    rig.measured |= {
        "minutes": round(SOAK_S / 60, 1),
        "rate": round(rate),
        "behind": f"{first:.0f} → {last:.0f}, 95 % {often}, at most {max(behind)}",
    }
    rig.claim(f"19 of 20 times at most {often} records behind", ok=often < rate * LAG_S)
    rig.claim(f"{last:.0f} records behind in the end", ok=last < rate * LATE_LAG_S)
    rig.claim("nothing ended", ok=not any(each.statuses for each in (rig.agent, *rig.workers)))


SOAK = Experiment(
    "half an hour of steady load",
    Setup(senders=({"rate": RATE},), module=MODULE),
    _soak,
    SOAK_S + 900,
    soak=True,
)
