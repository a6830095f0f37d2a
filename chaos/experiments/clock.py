"""The wall clock of agent and workers jumps ahead and back (libfaketime in front of libc)."""

from pathlib import Path

from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup

STEPS = ("+600s", "-600s", "+7500s", "+0s")
"""Seconds the clock is off; brokers refuse records more than an hour ahead of them."""
PLACES = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime",
          "/usr/lib64/faketime", "/usr/local/lib/faketime")  # fmt: skip
LIBRARY = "libfaketimeMT.so.1"


def _library() -> str:
    return next((str(Path(each, LIBRARY)) for each in PLACES if Path(each, LIBRARY).is_file()), "")


def _needs() -> str:
    return "" if _library() else "libfaketime (apt install faketime)"


def _steps(rig: Rig) -> None:
    file = rig.folder / "clock"
    for step in STEPS:
        rig.fault(f"the clock is off by {step}", recovered=False)
        fresh = file.with_suffix(".new")
        fresh.write_text(step)
        fresh.replace(file)
        rig.wait(8.0)
    rig.fault("the clock is right again", recovered=False)
    now = rig.events
    rig.until(lambda: rig.events > now + 1_000, "events flow with the right clock", 90)


def _file(folder: Path) -> None:
    (folder / "clock").write_text("+0s")


CLOCK = Experiment(
    "clock steps of agent and workers",
    Setup(
        environment={
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": "{folder}/clock",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        agent_too=True,
        needs=_needs,
        prepare=_file,
    ),
    _steps,
    200,
)
