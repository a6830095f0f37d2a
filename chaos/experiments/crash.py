"""Workers that crash and stay away: how soon another one has their work. Planned restarts."""

import time
from functools import partial
from typing import Any

from chaos.experiment import Experiment
from chaos.process import Worker
from chaos.rig import Rig
from chaos.setup import Setup

LIMIT_S = 10.0
"""From the kill until the work has moved."""
SESSION_S = 6.0
"""The session time-out: until then nobody knows that a worker is dead."""
COPIED_S = 2.0
"""From there on, with copies."""


def _partitions(worker: Worker) -> dict[str, list[int]]:
    return {
        name: [each["partition"] for each in worker.engine(name).get("partitions", [])]
        for name in ("events", "alerts")
    }


def _everything(rig: Rig) -> dict[str, int]:
    return {"events": rig.setup.partitions, "alerts": rig.config.kafka.matches_partitions}


def _shared(rig: Rig) -> bool:
    owned = [_partitions(each) for each in rig.workers]
    return all(
        all(each[name] for each in owned) and sum(len(each[name]) for each in owned) == count
        for name, count in _everything(rig).items()
    )


def _has_all(rig: Rig, worker: Worker) -> bool:
    owned = {name: len(each) for name, each in _partitions(worker).items()}
    return worker.ready() and owned == _everything(rig)


def _copied(rig: Rig, worker: Worker) -> bool:
    """Whether it has a current copy of every store partition that is not its own."""
    alerts = worker.engine("alerts")
    missing = rig.config.kafka.matches_partitions - len(alerts.get("partitions", []))
    return bool(alerts) and alerts["standby"]["caught_up"] == missing > 0


def _crash(rig: Rig, copies: int) -> None:
    moved: list[float] = []
    restored = 0
    for number in range(2):
        victim, other = rig.workers[number % 2], rig.workers[1 - number % 2]
        rig.until(lambda: _shared(rig), "each worker has a part")
        if copies:
            rig.until(partial(_copied, rig, other), "copies of the other's stores", 30)
        rig.wait(1.0, 3.0)
        before = other.engine("alerts")["restore"]["records"]
        rig.fault("kill -9 of a worker that stays away")
        started = time.monotonic()
        victim.kill(again=False)
        rig.until(partial(_has_all, rig, other), "the other worker has everything", 60)
        moved.append(round(time.monotonic() - started, 2))
        restored = max(restored, other.engine("alerts")["restore"]["records"] - before)
        rig.flowing()
        victim.start()
    rig.until(lambda: _shared(rig), "each worker has a part")
    rig.measured |= {"moved_s": moved, "restored_records": restored}
    limit = SESSION_S + COPIED_S if copies else LIMIT_S
    rig.claim(f"a crashed worker's work moves within {limit:g} s ({moved})", ok=max(moved) <= limit)


def _restart(rig: Rig) -> None:
    """A start that takes longer than the session, on a busy machine, is measured and no more."""
    away: list[float] = []
    kept: list[bool] = []
    for number in range(2):
        victim, other = rig.workers[number % 2], rig.workers[1 - number % 2]
        rig.until(lambda: _shared(rig), "each worker has a part")
        before = _state(victim, other)
        rig.fault("a worker is stopped and started")
        started = time.monotonic()
        victim.stop()
        victim.start()
        rig.until(victim.ready, "the worker is back")
        away.append(round(time.monotonic() - started, 2))
        rig.flowing()
        kept.append(_state(victim, other) == before)
    rig.measured |= {"away_s": away, "moved_nothing": kept}
    rig.claim(
        f"restarts within {SESSION_S:g} s move nothing (away for {away} s, nothing moved: {kept})",
        ok=all(same or seconds > SESSION_S for same, seconds in zip(kept, away, strict=True)),
    )


def _state(victim: Worker, other: Worker) -> Any:
    rebalances = [other.engine(name)["rebalances"] for name in ("events", "alerts")]
    return _partitions(victim), _partitions(other), rebalances


def _within(rig: Rig) -> None:
    """The time until events flow again is bounded too."""
    seconds = rig.row.recovery_s or 0.0
    rig.claim(f"events flow again within {LIMIT_S:g} s ({seconds})", ok=seconds <= LIMIT_S)


def _keep_copies(content: dict[str, Any]) -> None:
    content["workers"]["standby_replicas"] = 1


CRASH = Experiment(
    "kill -9 of a worker that stays away: another one has its work within 10 s",
    Setup(),
    partial(_crash, copies=0),
    180,
    _within,
)
STANDBY = Experiment(
    "the same with a standby copy of each store: within 2 s of the session's end",
    Setup(change=_keep_copies),
    partial(_crash, copies=1),
    180,
    _within,
)
RESTART = Experiment(
    "planned restarts of workers within the session time-out move nothing", Setup(), _restart, 180
)
