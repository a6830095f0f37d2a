"""A store on disk is the store in memory, and is trusted only where its content is."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.runtime import disk_store
from app.runtime.disk_store import IDENTITY, DiskStore, HeldError
from app.runtime.errors import EngineError
from app.runtime.store import Store
from topology.records import StoreError

OWN = {"cluster": "c1", "topic": "t", "topic id": "id1", "partition": 0}
DAY = 86_400.0
KEYS = st.sampled_from([b"", b"a", b"b", b"i", b"p", b"e\0", b"\xff\xff"])
VALUES = st.binary(max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, VALUES),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("commit")),
        st.tuples(st.just("place"), st.integers(0, 2**40)),
        st.tuples(st.just("rollback")),
        st.tuples(st.just("load"), st.lists(st.tuples(KEYS, st.none() | VALUES), max_size=4)),
        st.tuples(st.just("reopen")),
        st.tuples(st.just("clear")),
    ),
    max_size=30,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stores" / "t" / "0"


def opened(folder: Path, **changes: Any) -> DiskStore:
    return DiskStore.open(folder, {**OWN, **changes}, DAY)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Any]:
    """Folders of examples."""
    root = Path(tempfile.mkdtemp())
    numbers = itertools.count()
    yield lambda: root / str(next(numbers))
    shutil.rmtree(root)


@settings(max_examples=60)
@given(steps=STEPS)
def test_it_is_the_store_in_memory(scratch: Any, steps: list[tuple[Any, ...]]) -> None:
    """Whatever is done, both have the same entries, changes and position; reopening changes none.

    What was put and not committed is gone when the folder is opened again, as after an abort.
    """
    folder = scratch()
    memory, disk = Store(), opened(folder)
    for name, *arguments in steps:
        if name in {"put", "delete", "rollback", "clear"}:
            getattr(memory, name)(*arguments)
            getattr(disk, name)(*arguments)
        elif name in {"commit", "place"}:
            assert memory.changes() == disk.changes()
            memory.commit(*arguments)
            disk.commit(*arguments)
        elif name == "load":
            keys, values = [k for k, _ in arguments[0]], [v for _, v in arguments[0]]
            if not (memory.changes()[0] or disk.changes()[0]):  # restores come before work
                memory.load(keys, values)
                disk.load(keys, values)
                memory.position = disk.position = memory.position + len(keys)
        else:
            memory.rollback()
            disk.close()
            disk = opened(folder)
            assert disk.begun is None
        assert dict(disk.items()) == dict(memory.items())
        assert len(disk) == len(memory)
        assert disk.position == memory.position
        for key in (b"", b"a", b"i", b"p", b"e\0"):
            assert disk.get(key) == memory.get(key)
            assert (key in disk) == (key in memory)
    disk.close()


def test_items_may_be_changed_while_they_are_read(folder: Path) -> None:
    """An iteration shows what was there when it began, also over a commit."""
    store = opened(folder)
    store.load([b"a", b"b"], [b"1", b"2"])
    store.put(b"c", b"3")
    seen = []
    for key, value in store.items():
        seen.append((key, value))
        store.delete(key)
        store.put(key + b"'", b"new")
        store.commit()
    assert sorted(seen) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert sorted(key for key, _ in store.items()) == [b"a'", b"b'", b"c'"]
    store.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cluster": "c2"}, "another cluster"),
        ({"topic": "u"}, "another topic"),
        ({"topic id": "id2"}, "another topic id"),
        ({"partition": 1}, "another partition"),
    ],
)
def test_another_incarnation_is_not_trusted(
    folder: Path, changes: dict[str, Any], reason: str
) -> None:
    """A folder of another cluster, topic or partition is begun anew, and says why."""
    store = opened(folder)
    assert store.begun == "it is new"
    store.load([b"k"], [b"v"])
    store.position = 7
    store.close()
    store = opened(folder, **changes)
    assert reason in (store.begun or "")
    assert (store.position, len(store), store.get(b"k")) == (0, 0, None)
    store.close()


def test_what_cannot_be_trusted_is_begun_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown formats, damaged files and positions older than the deletions in the changelog."""

    def filled() -> DiskStore:
        store = opened(folder)
        store.put(b"k", b"v")
        store.commit(7)
        return store

    store = filled()
    store._db.put(IDENTITY, json.dumps({"format": 2, **OWN}).encode())
    store.close()
    store = opened(folder)
    assert "unknown format" in (store.begun or "")
    store.close()
    filled().close()
    now = disk_store.time.time()
    for moved in (DAY + 60, -600.0):
        with monkeypatch.context() as patch:
            patch.setattr(disk_store.time, "time", lambda moved=moved: now + moved)
            store = opened(folder)
            assert "position is" in (store.begun or "")
            assert len(store) == 0
            store.close()
        shutil.rmtree(folder)
        filled().close()
    (folder / "CURRENT").write_bytes(b"nonsense\n")
    store = opened(folder)
    assert "cannot be read" in (store.begun or "")
    assert (store.position, len(store)) == (0, 0)
    store.close()


def test_one_at_a_time(folder: Path) -> None:
    """A folder that is open is held, in this process too; closing gives it to the next one."""
    store = opened(folder)
    store.put(b"k", b"v")
    store.commit(3)
    with pytest.raises(HeldError):
        opened(folder)
    store.close()
    store = opened(folder)
    assert (store.get(b"k"), store.position) == (b"v", 3)
    store.close()


def test_a_disk_that_refuses_says_what_to_do(tmp_path: Path) -> None:
    """The message names the folder and the key of the configuration."""
    (tmp_path / "stores").write_text("a file")
    with pytest.raises(EngineError, match=r"workers\.state in northbound\.yaml"):
        opened(tmp_path / "stores" / "t" / "0")


WRITER = """
import sys
from pathlib import Path
from app.runtime.disk_store import DiskStore
store = DiskStore.open(Path(sys.argv[1]), {}, 1e9)
number = int(store.get(b"number") or 0)
while True:
    number += 1
    for key in range(20):
        store.put(b"%d" % key, b"%d" % number)
    store.put(b"number", b"%d" % number)
    store.commit(number)
    if number % 3 == 0:
        store.put(b"number", b"never committed")
        print(number, flush=True)
"""


@pytest.mark.kill
def test_kill_never_parts_entries_and_position(tmp_path: Path) -> None:
    """kill -9 at any moment: all entries of a commit and its position are there, or none is."""
    reached = 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "0")],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(40)]
            writer.send_signal(signal.SIGKILL)
        store = DiskStore.open(tmp_path / "0", {}, 1e9)
        assert store.begun is None
        entries = dict(store.items())
        assert set(entries.values()) == {b"%d" % store.position}, "a commit is whole"
        assert store.position >= told[-1] > reached, "what was committed is there"
        reached = store.position
        store.close()


def test_a_disk_that_cannot_be_read_ends_the_work(folder: Path) -> None:
    """Damaged files are no fault of the data: an error that stages pass on, naming the folder."""
    store = opened(folder)
    store.load([b"%d" % number for number in range(1_000)], [b"v" * 100] * 1_000)
    store.position = 1
    (file,) = folder.glob("*.sst")
    store.close()
    file.write_bytes(b"\0" * file.stat().st_size)
    try:
        store = opened(folder)
    except StoreError:
        return
    if store.begun is None:
        with pytest.raises(StoreError, match="stores/t/0"):
            store.get(b"7")
        with pytest.raises(StoreError, match="stores/t/0"):
            dict(store.items())
    store.close()
