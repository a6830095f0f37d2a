"""The broker is there but answers nobody: senders are slowed, all drains afterwards."""

import os
import signal
import time

from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup

OUTAGE_S = float(os.environ.get("OUTAGE_S", "120"))
RATE = 1_500
"""Lines a second; as many on their way are no backlog, as the senders go on."""


def _outage(rig: Rig) -> None:
    for pid in rig.kafka.pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        rig.fault(f"the broker answers nobody for {OUTAGE_S:.0f} s", recovered=False)
        rig.wait(OUTAGE_S)
        waiting = sum(each["in_flight"] for each in rig.status()["listeners"])
    finally:
        for pid in rig.kafka.pids:
            os.kill(pid, signal.SIGCONT)
    rig.fault("the broker answers again")
    rig.measured["waiting"] = waiting
    started = time.monotonic()
    rig.flowing(seconds=120.0)
    rig.drained(150.0, RATE)
    rig.measured["drained_s"] = round(time.monotonic() - started, 1)


def _check(rig: Rig) -> None:
    if OUTAGE_S >= 60 and rig.setup.scale >= 1:  # enough to fill what the agent holds
        blocked = rig.measured["blocked_s"]
        rig.claim(f"senders were held back ({blocked} s)", ok=blocked > 1)
    rig.claim(
        f"no line was lost on the way to Kafka ({rig.measured['gap']})", ok=not rig.measured["gap"]
    )


OUTAGE = Experiment(
    "the broker is unreachable for two minutes",
    Setup(senders=({"rate": RATE},)),
    _outage,
    OUTAGE_S + 240,
    check=_check,
)
