"""Disks that are full or read-only: the broker's, and the workers' state directory. Needs root."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup

FILLER = "filler"


def _needs() -> str:
    return "" if os.geteuid() == 0 else "root, to mount a small file system"


def _small(name: str, mebibytes: int) -> Callable[[Path], AbstractContextManager[None]]:
    """A file system of that size as a folder of the run."""

    @contextmanager
    def mounted(folder: Path) -> Iterator[None]:
        place = folder / name
        place.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place))
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True, timeout=30)

    return mounted


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=30)


def _fill(folder: Path) -> None:
    """Take all the room that is left."""
    with (folder / FILLER).open("wb", buffering=0) as filler:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    filler.write(bytes(size))
            except OSError:
                continue


def _broker(rig: Rig) -> None:
    for _ in range(2):
        rig.fault("the broker's disk is full", recovered=False)
        _fill(rig.config.data)
        before = -1
        while before != rig.events:  # until nothing comes any more
            before = rig.events
            rig.wait(3.0)
        rig.say(f"broker: {rig.kafka.failure() or 'still runs'}")
        (rig.config.data / FILLER).unlink()
        rig.fault("the broker's disk has room again")
        if not rig.kafka.pids:
            rig.start_brokers()
        rig.flowing()


def _state(rig: Rig) -> None:
    rig.fault("the state directory's disk is full", recovered=False)
    _fill(rig.config.state)
    rig.wait(5.0)
    rig.flowing("events flow although the state directory is full", 30.0)
    ended = [worker.statuses for worker in rig.workers]
    rig.claim(f"no worker ends because of it ({ended})", ok=not any(ended))
    rig.claim("the agent goes on", ok=not rig.agent.statuses)
    rig.fault("kill -9 of a worker while the disk is full", recovered=False)
    rig.workers[0].kill()
    rig.wait(8.0)
    (rig.config.state / FILLER).unlink()
    rig.fault("the state directory has room again")
    rig.flowing()
    rig.until(rig.workers[0].ready, "the killed worker is back", 60)


def _read_only(rig: Rig) -> None:
    for worker in rig.workers:
        worker.stop()
    place = str(rig.config.state)
    # A mount of its own: a file system that somebody has a file open in cannot be remounted.
    _mount("--bind", place, place)
    _mount("-o", "remount,bind,ro", place)
    rig.fault("the state directory is read-only", recovered=False)
    for worker in rig.workers:
        worker.start()
    rig.until(lambda: all(len(each.statuses) > 1 for each in rig.workers), "workers say no", 60)
    said = rig.workers[0].log.read_text(errors="replace")
    rig.claim("the log says what to do", ok="workers.state in northbound.yaml" in said)
    rig.claim("the agent goes on", ok=not rig.agent.statuses)
    subprocess.run(["umount", "-l", place], check=True, timeout=30)
    rig.fault("the state directory is writable again")
    rig.flowing()


BROKER = Experiment(
    "the broker's disk is full", Setup(place=_small("data", 400), needs=_needs), _broker, 200
)
STATE = Experiment(
    "the state directory's disk is full",
    Setup(place=_small("state", 12), needs=_needs),
    _state,
    150,
)
READ_ONLY = Experiment(
    "the state directory is read-only",
    Setup(place=_small("state", 12), needs=_needs),
    _read_only,
    150,
)
