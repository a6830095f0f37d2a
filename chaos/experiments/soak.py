"""Thirty minutes at a steady rate: memory and lag stay flat. Only as CASE=soak."""

import os
import time
from pathlib import Path
from statistics import median

from app.lag import lags
from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup

SOAK_S = float(os.environ.get("SOAK_S", "1800"))
RATE = int(os.environ.get("SOAK_RATE", "6000"))
"""Lines a second; about 60 % of what everything together takes on two cores."""
EVERY_S = 10.0
LAG_S = 5.0
"""Seconds of input that may be left to work off."""
GROWTH = 1.10


def _resident(pid: int | None) -> int:
    """Resident memory in KiB; 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def _soak(rig: Rig) -> None:
    memory: list[list[int]] = []
    behind: list[int] = []
    ended = time.monotonic() + SOAK_S
    while time.monotonic() < ended:
        rig.wait(EVERY_S)
        memory.append([_resident(each.pid) for each in (rig.agent, *rig.workers)])
        behind.append(sum(level.lag or 0 for level in lags(rig.config).values()))
        rig.say(f"resident KiB {memory[-1]}, records behind {behind[-1]}")
    warm, late = memory[len(memory) // 3 : len(memory) // 2], memory[-len(memory) // 6 :]
    for number, name in enumerate(["agent", *(each.name for each in rig.workers)]):
        first, last = (median(each[number] for each in part) for part in (warm, late))
        rig.measured[f"{name} MiB"] = f"{first / 1024:.0f} → {last / 1024:.0f}"
        rig.claim(f"memory of {name} is flat: {first} → {last} KiB", ok=last <= GROWTH * first)
    rig.measured["most_behind"] = max(behind)
    rig.claim(f"at most {max(behind)} records behind", ok=max(behind) < RATE * LAG_S)
    rig.claim("nothing ended", ok=not any(each.statuses for each in (rig.agent, *rig.workers)))


SOAK = Experiment(
    "half an hour of steady load",
    Setup(senders=({"rate": RATE},)),
    _soak,
    SOAK_S + 900,
    soak=True,
)
