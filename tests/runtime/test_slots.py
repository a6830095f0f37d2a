"""Slots give workers names that stay over a restart and that nobody else has."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.runtime.errors import EngineError
from app.runtime.slots import take_slot


def test_workers_of_one_directory_get_different_names(tmp_path: Path) -> None:
    """Two live workers never share a name; a slot that is given back is taken again."""
    first, second = take_slot(tmp_path), take_slot(tmp_path)
    assert (first.number, second.number) == (0, 1)
    assert first.instance("group") == f"group-{first.identity}-0"
    first.release()
    assert take_slot(tmp_path).number == 0


def test_a_killed_worker_frees_its_slot(tmp_path: Path) -> None:
    """kill -9 leaves no lock behind, and the next worker gets the same name."""
    program = (
        "import sys, os; from pathlib import Path; from app.runtime.slots import take_slot;"
        "print(take_slot(Path(sys.argv[1])).instance('g'), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        held = take_slot(tmp_path)
        assert held.number == 1
        held.release()
        process.kill()
    assert take_slot(tmp_path).instance("g") == name


def test_the_name_stays(tmp_path: Path) -> None:
    """The same directory gives the same name after a restart."""
    slot = take_slot(tmp_path)
    slot.release()
    assert take_slot(tmp_path).identity == slot.identity


def test_a_copied_directory_gets_a_name_of_its_own(tmp_path: Path) -> None:
    """Copies, also those that replace the original, never fence each other."""
    original = tmp_path / "state"
    slot = take_slot(original)
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    assert take_slot(copy).identity != slot.identity
    slot.release()
    shutil.copytree(original, tmp_path / "backup")
    shutil.rmtree(original)
    _wait_for_tick(tmp_path)
    shutil.copytree(tmp_path / "backup", original)
    assert take_slot(original).identity != slot.identity


def _wait_for_tick(folder: Path) -> None:
    """File times go on with the kernel's tick, some milliseconds: no backup is restored in one."""
    first, deadline = _now(folder), time.monotonic() + 60
    while _now(folder) == first:
        assert time.monotonic() < deadline, "the file system's clock stands still"


def _now(folder: Path) -> int:
    (folder / "tick").unlink(missing_ok=True)
    (folder / "tick").touch()
    return (folder / "tick").stat().st_ctime_ns


def test_a_file_with_the_inode_of_a_removed_one_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored backup may get the inodes of the original; its files are of another day."""
    slot = take_slot(tmp_path)
    slot.release()
    monkeypatch.setattr("app.runtime.slots._birth", lambda _: "1795801387.695752163")
    assert take_slot(tmp_path).identity != slot.identity


def test_new_owners_and_rights_keep_the_name(tmp_path: Path) -> None:
    """Kubernetes sets the group of a volume's files anew at each start."""
    slot = take_slot(tmp_path)
    slot.release()
    _wait_for_tick(tmp_path)
    for file in (tmp_path / "slots").iterdir():
        file.chmod(0o660)
    assert take_slot(tmp_path).identity == slot.identity


def test_another_host_gets_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that another machine mounts or was cloned to is another worker's."""
    slot = take_slot(tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert take_slot(tmp_path).identity != slot.identity


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": "x"}', "\x00\xff"])
def test_a_damaged_identity_is_replaced(tmp_path: Path, content: str) -> None:
    """A cut or foreign file never stops a worker."""
    take_slot(tmp_path).release()
    (tmp_path / "slots" / "identity").write_text(content)
    slot = take_slot(tmp_path)
    assert json.loads((tmp_path / "slots" / "identity").read_text())["identity"] == slot.identity


def test_a_directory_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    """The message names the directory and the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"file.*workers\.state"):
        take_slot(tmp_path / "file")
