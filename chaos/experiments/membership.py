"""Workers that stop without ending, and workers that come and go."""

import signal
import time
from functools import partial

from chaos.experiment import Experiment
from chaos.process import Worker
from chaos.rig import Rig
from chaos.setup import Setup

STORM_S = 120.0
EVERY_S = 5.0


def _zombie(rig: Rig) -> None:
    for number in range(3):
        zombie, other = rig.workers[number % 2], rig.workers[1 - number % 2]
        rig.fault("SIGSTOP of a worker past its session and transaction time-outs")
        zombie.signal(signal.SIGSTOP)
        rig.until(partial(_owns_all, rig, other), "the other worker has taken over", 60)
        rig.wait(0.0, 3.0)
        before = len(zombie.statuses)
        rig.fault("SIGCONT of the zombie")
        zombie.signal(signal.SIGCONT)
        rig.until(partial(_joined, rig, zombie), "the zombie is back", 60)
        ended = zombie.statuses[before:]
        rig.claim(
            f"the zombie is fenced or joins again: ended with {ended}", ok=set(ended) <= {1, 75}
        )
    rig.flowing()


def _owns_all(rig: Rig, worker: Worker) -> bool:
    counts = {"events": rig.setup.partitions, "alerts": rig.config.kafka.matches_partitions}
    return all(
        len(worker.engine(name).get("partitions", [])) == count for name, count in counts.items()
    )


def _joined(rig: Rig, worker: Worker) -> bool:
    return worker.ready() and _both(rig)


def _both(rig: Rig) -> bool:
    """Whether the two workers own everything between them."""
    return all(
        sum(len(each.engine(name).get("partitions", [])) for each in rig.workers) == count
        for name, count in (
            ("events", rig.setup.partitions),
            ("alerts", rig.config.kafka.matches_partitions),
        )
    )


def _storm(rig: Rig) -> None:
    """One comes or goes every five seconds, cleanly or not, whatever the others are restoring."""
    ended = time.monotonic() + STORM_S
    while len(rig.workers) < 4:
        rig.add_worker()
    while time.monotonic() < ended:
        worker = rig.random.choice(rig.workers[1:])
        if worker.pid is None:
            rig.fault(f"{worker.name} joins", recovered=False)
            worker.start()
            if rig.random.random() < 0.3:
                rig.wait(1.0, 3.0)
                rig.fault(f"{worker.name} is killed while it joins", recovered=False)
                worker.kill(again=False)
        elif rig.random.random() < 0.5:
            rig.fault(f"{worker.name} leaves", recovered=False)
            worker.stop()
        else:
            rig.fault(f"{worker.name} is killed", recovered=False)
            worker.kill(again=False)
        rig.wait(EVERY_S)
    rig.fault("the storm is over")
    rig.flowing()


ZOMBIE = Experiment("SIGSTOP past the time-outs, then SIGCONT", Setup(), _zombie, 180)
STORM = Experiment(
    "a worker joins or leaves every 5 s for two minutes",
    Setup(partitions=8, senders=({"rate": 600},), lists=True),
    _storm,
    300,
)
