"""The wall clock of agent and workers jumps ahead and back (chaos/clock.c in front of libc)."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

from chaos.experiment import Experiment
from chaos.process import ROOT
from chaos.rig import Rig
from chaos.setup import Setup

STEPS = (600, -600, 7_500, 0)
"""Seconds the clock is off; brokers refuse records more than an hour ahead of them."""
OFFSET = struct.Struct("=q")


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)


def _needs() -> str:
    return "" if _compiler() else "a C compiler (apt install gcc)"


def _set(folder: Path, seconds: int) -> None:
    with (folder / "clock").open("r+b") as file:
        file.write(OFFSET.pack(seconds * 1_000_000_000))


def _build(folder: Path) -> None:
    (folder / "clock").write_bytes(OFFSET.pack(0))
    argv = [str(_compiler()), "-shared", "-fPIC", "-O1", "-o", str(folder / "clock.so")]
    subprocess.run([*argv, str(ROOT / "chaos" / "clock.c"), "-ldl"], check=True, timeout=60)


def _steps(rig: Rig) -> None:
    for step in STEPS:
        rig.fault(f"the clock is off by {step:+} s", recovered=False)
        _set(rig.folder, step)
        rig.wait(8.0)
    rig.fault("the clock is right again", recovered=False)
    now = rig.events
    rig.until(lambda: rig.events > now + 1_000, "events flow with the right clock", 90)


CLOCK = Experiment(
    "clock steps of agent and workers",
    Setup(
        environment={"LD_PRELOAD": "{folder}/clock.so", "CHAOS_CLOCK": "{folder}/clock"},
        agent_too=True,
        needs=_needs,
        prepare=_build,
    ),
    _steps,
    200,
)
