"""The mark of the records in work survives the process and narrows down a deadly record."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.runtime.errors import EngineError
from app.runtime.inflight import HALF, InFlight, Suspect
from topology.records import Batch

WHERE = ("in", 0)


def batch_of(first: int, last: int) -> Batch:
    offsets = np.arange(first, last + 1, dtype=np.int64)
    values = [b"%d" % offset for offset in offsets]
    return Batch("in", np.zeros(len(offsets), np.int32), offsets, offsets, values, values)


def end_of_process(file: Path, first: int, last: int) -> InFlight:
    """A process that ends with these records in work, and the next one's mark."""
    InFlight(file).begin({WHERE: (first, last)})
    return InFlight(file)


def test_kill_9_leaves_the_mark(tmp_path: Path) -> None:
    """Nothing needs to be flushed: the page cache outlives the process."""
    program = (
        "import os, sys; from pathlib import Path; from app.runtime.inflight import InFlight;"
        "InFlight(Path(sys.argv[1])).begin({('in', 0): (5, 9)}); os.kill(os.getpid(), 9)"
    )
    file = tmp_path / "state" / "mark"
    subprocess.run([sys.executable, "-c", program, str(file)], check=False, cwd=Path.cwd())
    assert InFlight(file).suspects == {WHERE: Suspect(5, 9, 1)}


def test_a_full_disk_cannot_kill_a_worker_that_runs(tmp_path: Path) -> None:
    """All blocks of the mark are there from the start, also in a file that an older version made:
    writing into a hole of a mapped file on a full disk ends the process by SIGBUS."""
    file = tmp_path / "mark"
    with file.open("wb") as sparse:
        sparse.truncate(2 * HALF)
    InFlight(file)
    assert file.stat().st_blocks * 512 >= 2 * HALF


def test_no_room_for_the_mark_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts on a full disk says so."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(EngineError, match="No space left on device"):
        InFlight(tmp_path / "mark")


def test_work_that_was_done_leaves_no_mark(tmp_path: Path) -> None:
    """After `end` nothing is suspect."""
    mark = InFlight(tmp_path / "mark")
    mark.begin({WHERE: (0, 9)})
    mark.end()
    assert InFlight(tmp_path / "mark").suspects == {}


def test_a_deadly_record_is_narrowed_down(tmp_path: Path) -> None:
    """Once: as before. Twice: small parts. Three times: one by one. Five times alone: rejected."""
    file = tmp_path / "mark"
    deadly = 700
    sizes = []
    first, last = 0, 999
    for _ in range(5):
        mark = end_of_process(file, first, last)
        for part, rejected in mark.pieces(batch_of(0, 1_500)):
            if part.offsets[0] <= deadly <= part.offsets[-1]:
                first, last = int(part.offsets[0]), int(part.offsets[-1])
                sizes.append((len(part), rejected))
    assert sizes == [(1_501, False), (32, False), (1, False), (1, False), (1, True)]


def test_parts_cover_the_batch_in_order(tmp_path: Path) -> None:
    """Parts lose nothing and keep the order; records that are not suspect stay together."""
    for _ in range(2):
        mark = end_of_process(tmp_path / "mark", 100, 199)
    parts = [part for part, _ in mark.pieces(batch_of(0, 299))]
    assert [offset for part in parts for offset in part.offsets.tolist()] == list(range(300))
    assert len(parts[0]) == 100
    assert len(parts[-1]) == 100
    assert max(map(len, parts[1:-1])) == 10


def test_other_records_start_a_new_suspicion(tmp_path: Path) -> None:
    """Only records that were in work each time are narrowed down."""
    end_of_process(tmp_path / "mark", 0, 99)
    mark = end_of_process(tmp_path / "mark", 100, 199)
    assert mark.suspects == {WHERE: Suspect(100, 199, 1)}


def test_committed_records_are_beyond_suspicion(tmp_path: Path) -> None:
    """A commit beyond the suspect range ends the suspicion, for the next process too."""
    mark = end_of_process(tmp_path / "mark", 0, 99)
    mark.settle({WHERE: 99})
    assert mark.suspects
    mark.settle({WHERE: 100})
    assert not mark.suspects
    assert InFlight(tmp_path / "mark").suspects == {}


def test_a_damaged_mark_is_no_mark(tmp_path: Path) -> None:
    """A file of another version or with rubbish in it never stops a worker."""
    file = tmp_path / "mark"
    file.write_bytes(b"\x09\0\0\0rubbish  " + os.urandom(HALF))
    assert InFlight(file).suspects == {}


def test_too_many_partitions_are_no_mark(tmp_path: Path) -> None:
    """A mark that does not fit is left out."""
    mark = InFlight(tmp_path / "mark")
    mark.begin({(f"a-topic-with-a-long-name-{n}", n): (n, n) for n in range(3_000)})
    assert InFlight(tmp_path / "mark").suspects == {}
