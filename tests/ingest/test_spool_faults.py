"""Disks that fail under a spool, and a second agent that comes to it: what is lost is counted."""

import errno
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from app.ingest.batch import Batch
from app.ingest.listeners import make_listener
from app.ingest.settings import AgentSettings, ListenerSettings
from app.ingest.spill import Spill
from app.ingest.spool import Spool
from app.ingest.spool_record import HEADER
from tests.ingest.rig import run
from tests.ingest.test_spool_drain import Kafka

ROOM = 1 << 20


def batch(*lines: bytes) -> Batch:
    return Batch(list(lines), b"peer", "peer", None, 1)


def lines(spool: Spool) -> list[bytes]:
    """What is in it, drained."""
    found: list[bytes] = []
    while spool.depth:
        batches, end = spool.read(1)
        assert batches, "what is counted cannot be read"
        found += batches[0].lines
        spool.commit(end, len(batches[0].lines))
    return found


def fails(*_: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_disk_that_cannot_sync_loses_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines are written, and the system may yet get them to the disk. An error that left
    `append` would take them with it, counted nowhere."""
    monkeypatch.setattr(os, "fdatasync", fails)
    spool = Spool(tmp_path, ROOM, segment_bytes=1)
    assert [spool.append(batch(b"%d" % n)) for n in range(3)] == [True] * 3
    spool.sync()
    spool.close()
    assert lines(Spool(tmp_path, ROOM)) == [b"0", b"1", b"2"]


def test_nothing_is_written_behind_a_torn_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could read it there. A full disk tears one, and a failing one may not cut it off."""
    spool = Spool(tmp_path, ROOM)
    assert spool.append(batch(b"before"))
    write = os.write
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
        broken.setattr(os, "ftruncate", fails)
        assert not spool.append(batch(b"torn"))
    assert spool.append(batch(b"behind"))
    assert spool.dropped == 1
    assert lines(spool) == [b"before", b"behind"]
    assert spool.append(batch(b"later"))
    spool.close()
    assert lines(Spool(tmp_path, ROOM)) == [b"later"]


def test_a_damaged_length_takes_no_memory(tmp_path: Path) -> None:
    """Four gigabytes for a record of some bytes: the agent would not start where they are not to be
    had, with all that is in its spools."""
    spool = Spool(tmp_path, ROOM)
    spool.append(batch(b"before"))
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    with segment.open("ab") as file:
        file.write(HEADER.pack(0, 0xFFFF_FFFF, 1, 0, 0, 0) + b"torn")
    tracemalloc.start()
    try:
        again = Spool(tmp_path, ROOM)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert lines(again) == [b"before"]


def test_a_damaged_record_takes_no_other_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A byte that the disk has lost: its messages are lost and counted, those behind it are not."""
    spool = Spool(tmp_path, ROOM)
    for each in (b"before", b"damaged", b"behind"):
        spool.append(batch(each, each))
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"damaged", b"dam ged", 1))
    again = Spool(tmp_path, ROOM)
    assert (again.depth, again.dropped, again.recovered) == (4, 2, 6)
    assert "damaged, and lost" in caplog.text
    again.append(batch(b"new"))
    assert lines(again) == [b"before"] * 2 + [b"behind"] * 2 + [b"new"]
    assert (again.size, again.dropped) == (0, 2)
    again.close()
    assert Spool(tmp_path, ROOM).recovered == 0


def test_a_new_segment_is_in_its_folder_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without power forgets a file that only its own content was written of."""
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fdatasync", lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
    )
    spool = Spool(tmp_path, ROOM)
    spool.append(batch(b"a"))
    spool.sync()
    assert synced == [str(next(tmp_path.glob("*.spool"))), str(tmp_path)]


def test_a_spool_is_one_agents(tmp_path: Path) -> None:
    """Another, started by mistake, would take what this one is writing for a torn end and cut it
    off."""
    first = Spool(tmp_path, ROOM)
    with pytest.raises(OSError, match=r"in use by another agent"):
        Spool(tmp_path, ROOM)
    first.append(batch(b"a"))
    first.close()
    assert lines(Spool(tmp_path, ROOM)) == [b"a"]


def test_a_listener_that_cannot_start_gives_its_spool_back(tmp_path: Path) -> None:
    """What listened before takes it up again when a reload has failed."""
    settings = ListenerSettings(
        source="q", path=tmp_path / "no" / "socket", protocol="unix", spool=tmp_path,
        spool_bytes=ROOM,
    )  # fmt: skip

    async def work() -> None:
        client = {"bootstrap.servers": "127.0.0.1:1"}
        agent = AgentSettings(listeners=(), ticks={})
        for _ in range(2):
            listening = make_listener(settings, agent, client, "raw.q")
            with pytest.raises(OSError, match="cannot listen"):
                await listening.start()

    run(work())


def test_a_disk_that_stands_still_gathers_no_threads(tmp_path: Path) -> None:
    """One waits for it, not one more every second."""
    kafka = Kafka()
    spool = Spool(tmp_path, ROOM)
    spill = Spill(kafka, spool)  # type: ignore[arg-type]
    still, begun = threading.Event(), []

    def sync() -> None:
        begun.append(threading.current_thread())
        still.wait(60)

    spool.sync = sync  # type: ignore[method-assign]
    kafka.in_flight = 1
    for now in range(5):
        spool.dirty = True
        spill.turn(10.0 + 2 * now)
    still.set()
    assert spill._syncing is not None
    spill._syncing.join(60)
    assert len(begun) == 1
