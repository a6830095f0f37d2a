"""Files that rotate, are emptied, copied, removed, and come back: each line once, none left out."""

import asyncio
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.connectors import file, tail, tails
from app.ingest.connectors.file import FileConnector, FileSettings
from app.ingest.connectors.tail import Tail
from app.ingest.connectors.tails import Tails
from tests.ingest.rig import until


def lines(first: int, count: int) -> bytes:
    """So many lines of 43 octets; 30 are more than the head of a file."""
    return b"".join(
        b"<14>Nov 26 20:00:00 nas-1 line %010d\n" % n for n in range(first, first + count)
    )


class Follower:
    """Looks, takes what it reads as acknowledged, and can be started anew from its checkpoint."""

    def __init__(self, *paths: Path, begin_at_end: bool = False) -> None:
        self.paths = [str(path) for path in paths]
        self.got: list[bytes] = []
        self.tails = Tails(self.paths, 1 << 20, "truncate", begin_at_end=begin_at_end)

    def look(self) -> "Follower":
        """Look twice, as what is seen at one look may only be taken at the next."""
        for _ in range(2):
            self.look_once()
        return self

    def look_once(self) -> None:
        """Look, and take what is found."""
        for piece in self.tails.look():
            self.got += piece.cut.lines
            piece.tail.acked = piece.place

    def restart(self, rotated_s: float = 60.0) -> "Follower":
        """The agent ends and starts again."""
        saved = [tail.as_dict() for tail in self.tails.contents]
        self.tails.close()
        known = [Tail.from_dict(each) for each in saved]
        self.tails = Tails(self.paths, 1 << 20, "truncate", known=known, rotated_s=rotated_s)
        return self

    @property
    def numbers(self) -> list[int]:
        """Of the lines read."""
        return [int(line[-10:]) for line in self.got]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A file of 100 lines."""
    path = tmp_path / "audit.log"
    path.write_bytes(lines(0, 100))
    return path


def append(path: Path, first: int, count: int) -> None:
    with path.open("ab") as out:
        out.write(lines(first, count))


def test_a_file_is_read_as_it_grows(log: Path) -> None:
    """What is appended comes once; a line that is not finished waits for its end."""
    follower = Follower(log).look()
    append(log, 100, 50)
    with log.open("ab") as out:
        out.write(lines(150, 1)[:20])
    assert follower.look().numbers == list(range(150))
    with log.open("ab") as out:
        out.write(lines(150, 1)[20:])
    assert follower.look().numbers == list(range(151))


def test_rotation_by_rename(log: Path) -> None:
    """Lines written to the renamed file, before and after its rename, are read, though no path
    names it; so are those of the new file."""
    follower = Follower(log).look()
    append(log, 100, 10)
    log.rename(log.with_name("audit.log.1"))
    append(log, 110, 10)
    follower.look()
    append(log.with_name("audit.log.1"), 120, 10)
    assert sorted(follower.look().numbers) == list(range(130))


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("moment", ["listed", "opened"])
def test_renamed_at_a_start(
    log: Path, monkeypatch: pytest.MonkeyPatch, moment: str, *, known: bool
) -> None:
    """A file that is renamed just when its folder is listed, or before it is opened, is read before
    the one that took its name."""
    follower = Follower(log.with_name("audit.log*"))
    if known:
        follower.look()
    append(log, 100, 50)

    def rename() -> None:
        if not log.with_name("audit.log.1").exists():
            log.rename(log.with_name("audit.log.1"))
            log.write_bytes(lines(150, 40))

    listing, opening = tails.glob.iglob, os.open

    def iglob(pattern: str, **options: bool) -> Iterator[str]:
        names = list(listing(pattern, **options))
        rename()
        yield from names

    def opened(path: str, flags: int) -> int:
        rename()
        return opening(path, flags)

    follower.restart()
    with monkeypatch.context() as patched:
        if moment == "listed":
            patched.setattr(tails.glob, "iglob", iglob)
        else:
            patched.setattr(tails.os, "open", opened)
        follower.look()
    assert follower.look().numbers == list(range(190))


@pytest.mark.parametrize("pattern", ["audit.log", "audit.log*"])
@pytest.mark.parametrize("down", [False, True])
def test_rotation_by_copytruncate(log: Path, pattern: str, *, down: bool) -> None:
    """Lines between the last look and the copy are read from the copy, and nothing else of it,
    whether the agent runs at that time or not and whether a path names the copy or not."""
    follower = Follower(log.with_name(pattern)).look()
    append(log, 100, 10)
    if not down:
        shutil.copyfile(log, log.with_name("audit.log.1"))
        follower.look()  # a copy that has not been followed by its truncation yet
    append(log, 110, 10)
    if down:
        follower.restart()
    shutil.copyfile(log, log.with_name("audit.log.1"))
    os.truncate(log, 0)
    append(log, 120, 5)
    assert sorted(follower.look().numbers) == list(range(125))
    append(log, 125, 5)
    assert sorted(follower.restart().look().numbers) == list(range(130))


@pytest.mark.parametrize("down", [False, True])
def test_a_few_lines_before_copytruncate(tmp_path: Path, *, down: bool) -> None:
    """A file of which less was read than its head is known in its copy too; another file that
    begins alike at that time is read whole."""
    log = tmp_path / "audit.log"
    log.write_bytes(lines(0, 7))
    follower = Follower(tmp_path / "*.log*").look()
    append(log, 7, 50)
    if down:
        follower.restart()
    shutil.copyfile(log, tmp_path / "audit.log.1")
    os.truncate(log, 0)
    append(log, 57, 5)
    (tmp_path / "other.log").write_bytes(lines(0, 7) + lines(100, 50))
    assert sorted(follower.look().numbers) == sorted([*range(62), *range(7), *range(100, 150)])


def test_a_copy_may_be_half_done(log: Path) -> None:
    """A copy in the making is not read while it is one."""
    follower = Follower(log.with_name("*")).look()
    copy = log.with_name("audit.log.1")
    for size in (10, 1_000, 2_000, log.stat().st_size):
        copy.write_bytes(lines(0, 100)[:size])
        assert follower.look().numbers == list(range(100))
    os.truncate(log, 0)
    append(log, 100, 1)
    assert follower.look().numbers == list(range(101))


def test_files_with_the_same_header_are_not_copies(log: Path) -> None:
    """Two files that begin alike are two files once they differ."""
    header = b"#Fields: " + b"a column, " * 300 + b"\n"
    for name in ("one.log", "two.log"):
        log.with_name(name).write_bytes(header)
    log.unlink()
    follower = Follower(log.with_name("*.log")).look()
    for number, name in enumerate(("one.log", "two.log")):
        append(log.with_name(name), number, 1)
    follower.look()
    assert sorted(follower.got) == sorted([header.rstrip(b"\n")] * 2 + lines(0, 2).splitlines())


def test_a_copy_of_what_was_never_read(log: Path) -> None:
    """Seen for the first time between the copy and the truncation, both files hold the same lines:
    they come once, whether the copy is whole or not and whether the look is at a start or not."""
    follower = Follower(log.with_name("*"))
    copy = log.with_name("audit.log.1")
    copy.write_bytes(lines(0, 60))
    follower.look()
    shutil.copyfile(log, copy)
    assert follower.look().numbers == list(range(100))
    os.truncate(log, 0)
    append(log, 100, 50)  # a generation that no look sees before it is copied
    copy = copy.rename(copy.with_suffix(".2"))
    shutil.copyfile(log, copy.with_suffix(".1"))
    assert follower.look().numbers == list(range(150))
    os.truncate(log, 0)
    append(log, 150, 5)
    assert follower.look().numbers == list(range(155))


def test_a_copy_that_was_seen_when_it_was_made(log: Path) -> None:
    """A copy that a look finds before its first byte is known as one when it has some, and so it
    is once its file has been emptied."""
    follower = Follower(log.with_name("*")).look()
    copy = log.with_name("audit.log.1")
    copy.touch()
    follower.look()
    append(log, 100, 10)
    shutil.copyfile(log, copy)
    os.truncate(log, 0)
    append(log, 110, 50)
    assert follower.look().numbers == list(range(160))
    copy = log.with_name("audit.log.2")
    copy.touch()
    follower.look()
    shutil.copyfile(log, copy)
    assert follower.look().numbers == list(range(160))
    os.truncate(log, 0)
    assert follower.look().numbers == list(range(160))


MOMENTS = ("made", "half", "whole")
"""Of a copy, before its file is emptied."""


@settings(max_examples=60)
@given(
    moves=st.lists(
        st.integers(30, 200)
        | st.sampled_from(["look", "restart", "rename"])
        | st.sets(st.sampled_from(MOMENTS)),
        max_size=25,
    )
)
def test_each_line_once_whatever_happens_when(moves: list[int | str | set[str]]) -> None:
    """Lines are written, the file is renamed or copied and emptied, the agent is started again and
    looks, at any moments of it: each line comes once."""
    written = 0
    with TemporaryDirectory() as folder:
        log = Path(folder) / "audit.log"
        log.touch()
        follower = Follower(log.with_name("audit.log*"))
        for number, move in enumerate(moves):
            rotated = log.with_name(f"audit.log.{number:03d}")
            if isinstance(move, int):
                append(log, written, move)
                written += move
            elif isinstance(move, set):
                content = log.read_bytes()
                parts = zip(MOMENTS, (0, len(content) // 2, len(content)), strict=True)
                for moment, size in parts:
                    rotated.write_bytes(content[:size])
                    if moment in move:
                        follower.look_once()
                os.truncate(log, 0)
            elif move == "look":
                follower.look_once()
            elif move == "restart":
                follower.restart()
            else:
                log.rename(rotated)
                log.touch()
        assert sorted(follower.look().numbers) == list(range(written))
        follower.tails.close()


def test_emptied_before_anything_of_it_was_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that was seen with its file is read from its name once the file has its lines no
    more, although the file was found first."""
    follower = Follower(log.with_name("*"))
    copy = log.with_name("audit.log.1")
    shutil.copyfile(log, copy)

    def read() -> list[tails.Piece]:
        os.truncate(log, 0)
        return []

    monkeypatch.setattr(follower.tails, "_read", read)
    assert follower.tails.look() == []
    monkeypatch.undo()
    append(log, 100, 5)
    assert sorted(follower.look().numbers) == list(range(105))


def test_a_file_that_is_only_a_header_holds_up_no_other(log: Path) -> None:
    """A file that begins with all of another one, and goes on, is read: it is no copy."""
    header = b"#Fields: date time user\n"
    log.write_bytes(header)
    follower = Follower(log.with_name("*.log")).look()
    log.with_name("next.log").write_bytes(header + lines(0, 3))
    follower.look()
    assert follower.got == (header * 2 + lines(0, 3)).splitlines()


def test_emptied_and_longer_again_between_looks(log: Path) -> None:
    """A file that was emptied and has grown beyond where it was is read from its beginning."""
    follower = Follower(log).look()
    os.truncate(log, 0)
    append(log, 1_000, 200)
    assert follower.look().numbers == [*range(100), *range(1_000, 1_200)]


def test_an_inode_that_is_reused(log: Path) -> None:
    """Another file with the inode of the one before is not taken for it, across a restart too."""
    follower = Follower(log).look().restart()
    log.write_bytes(lines(5_000, 200))  # the same inode
    assert follower.look().numbers == [*range(100), *range(5_000, 5_200)]


@pytest.mark.parametrize("pattern", ["audit.log", "audit.log*"])
def test_rotated_while_down(log: Path, pattern: str) -> None:
    """What was written to a file that was renamed while the agent was down is read."""
    follower = Follower(log.with_name(pattern)).look().restart()
    append(log, 100, 10)
    log.rename(log.with_name("audit.log.1"))
    append(log, 110, 10)
    assert sorted(follower.look().numbers) == list(range(120))


def test_a_restart_repeats_nothing(log: Path) -> None:
    """Also where a line above the limit was read in part, and where a file has moved."""
    follower = Follower(log.with_name("*"))
    follower.tails = Tails(follower.paths, 1_000, "split")
    with log.open("ab") as out:
        out.write(b"x" * 2_500)
    follower.look()
    assert follower.got[-2:] == [b"x" * 1_000] * 2
    saved = [Tail.from_dict(tail.as_dict()) for tail in follower.tails.contents]
    follower.tails = Tails(follower.paths, 1_000, "split", known=saved)
    log.rename(log.with_name("moved"))
    with log.with_name("moved").open("ab") as out:
        out.write(b"y" * 300 + b"\nlast\n")
    assert follower.look().got[100:] == [
        b"x" * 1_000,
        b"x" * 1_000,
        b"x" * 500 + b"y" * 300,
        b"last",
    ]


def test_another_device_number(log: Path) -> None:
    """A mount gets another device number when it is mounted again; its files are known by what
    they hold."""
    follower = Follower(log).look()
    (tail,) = follower.tails.contents
    saved = {**tail.as_dict(), "device": 1}
    follower.tails = Tails(follower.paths, 1 << 20, "truncate", known=[Tail.from_dict(saved)])
    append(log, 100, 1)
    assert follower.look().numbers == list(range(101))


def test_a_share_that_is_away_for_a_while(tmp_path: Path) -> None:
    """Files that are not there at a start are known when they are back."""
    share = tmp_path / "share"
    share.mkdir()
    log = share / "audit.log"
    log.write_bytes(lines(0, 100))
    follower = Follower(log).look()
    share.rename(tmp_path / "away")
    follower.restart().look().restart().look()
    (tmp_path / "away").rename(share)
    append(log, 100, 1)
    assert follower.look().numbers == list(range(101))


def test_removed_files_are_let_go(log: Path) -> None:
    """A removed file is read to its end and its descriptor closed."""
    follower = Follower(log)
    follower.tails = Tails(follower.paths, 1 << 20, "truncate", rotated_s=0.0)
    follower.look()
    append(log, 100, 5)
    log.unlink()
    assert follower.look().numbers == list(range(105))
    assert not follower.look().tails.contents


@pytest.mark.parametrize("how", ["renamed", "removed"])
@pytest.mark.parametrize("limit", [1 << 20, 10])
def test_the_last_line_of_a_file_that_is_over(log: Path, how: str, limit: int) -> None:
    """A writer that was killed in its last line ends no line any more: what it wrote comes once the
    file has been left alone, where it would have gone with the file. That of a file that is still
    there waits for its end."""
    follower = Follower(log)
    follower.tails = Tails(follower.paths, limit, "split", rotated_s=0.0)
    with log.open("ab") as out:
        out.write(b"killed here\r")
    follower.look().look()
    whole = lines(0, 100).replace(b"\n", b"")
    if limit > 10:
        assert b"".join(follower.got) == whole
    gone = log.with_name("gone")
    log.rename(gone)
    if how == "removed":
        gone.unlink()
    follower.look().look()
    assert b"".join(follower.got) == whole + b"killed here"
    if how == "renamed":
        follower.tails._rotated_s = 60.0
        with gone.open("ab") as out:
            out.write(b"and on\n")
        follower.look().look()
        assert b"".join(follower.got) == whole + b"killed hereand on"


def test_patterns(tmp_path: Path) -> None:
    """Folders, stars and ** name files; compressed files, folders and pipes are left out."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    for number, name in enumerate(["x.log", "a/y.log", "a/b/z.log", "a/b/w.log.gz", "a/other"]):
        (tmp_path / name).write_bytes(lines(number, 1))
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    follower = Follower(tmp_path / "**" / "*.log*", tmp_path / "a" / "othe?").look()
    assert sorted(follower.numbers) == [0, 1, 2, 4]


def test_begin_at_the_end(log: Path) -> None:
    """With `start: end` old lines are left out; files that appear later are read whole."""
    with log.open("ab") as out:
        out.write(lines(100, 1)[:20])
    follower = Follower(log.with_name("*"), begin_at_end=True).look()
    with log.open("ab") as out:
        out.write(lines(100, 1)[20:])
    append(log.with_name("new.log"), 200, 50)
    assert sorted(follower.look().numbers) == [100, *range(200, 250)]
    assert sorted(follower.restart().look().numbers) == [100, *range(200, 250)]


@pytest.mark.usefixtures("log")
def test_files_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file that cannot be opened is named once and keeps nothing else from being read."""
    opening = os.open

    def refuse(path: object, flags: int, *more: int) -> int:
        if str(path).endswith("secret.log"):
            raise PermissionError(13, "Permission denied")
        return opening(path, flags, *more)

    (tmp_path / "secret.log").write_bytes(lines(0, 1))
    monkeypatch.setattr("os.open", refuse)
    follower = Follower(tmp_path / "*.log").look().look()
    assert follower.numbers == list(range(100))
    assert caplog.text.count("Permission denied") == 1


def test_what_cannot_be_looked_at_again_was_not_read(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An NFS server that goes away between two reads of a short file: its lines come with the next
    look, where they would else have been passed over."""
    os.truncate(log, 10 * 43)
    follower = Follower(log)

    def stale(*_: object) -> tuple[int, str]:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as away:
        away.setattr(tail, "head", stale)
        assert follower.look().got == []
    assert follower.look().numbers == list(range(10))


def test_what_was_not_handed_over_is_read_again(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that fails behind what it has read, or a publisher: nobody has those lines."""

    class Publisher:
        """Fails at its second chunk, once."""

        full = False

        def __init__(self) -> None:
            self.got: list[int] = []
            self.calls = 0

        def confirm(self, found: list[bytes], *_: object) -> tuple[SimpleNamespace, bool]:
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError("out of memory, say")
            self.got += [int(line[-10:]) for line in found]
            return SimpleNamespace(done=True), True

    async def work() -> list[int]:
        monkeypatch.setattr(file, "RETRY_S", 0.01)
        publisher: Any = Publisher()
        settings = FileSettings(source="q", paths=(str(log),), folder=tmp_path, poll_s=0.01)
        connector = FileConnector(settings, publisher)
        await connector.start()
        append(log, 100, 50)
        await until(lambda: publisher.calls >= 3, "the lines again")
        await connector.stop(0.0)
        return list(publisher.got)

    assert asyncio.run(work()) == list(range(150))
