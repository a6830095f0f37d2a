"""Files as receivers: what is kept across rotation, a crash and a second process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Message

from app.broker.server import EmbeddedKafka
from app.deliver.destination import UnreachableError
from app.deliver.file import FileDestination, FileSettings
from app.deliver.refusals import Refusals
from tests.deliver.rig import Tenant, committed, delivering, record, whole_and_in_order
from tests.ingest.peers import wait_for

ROOT = Path(__file__).parents[2]


def files(path: Path) -> list[Path]:
    """Oldest first."""
    full = [each for each in path.parent.iterdir() if re.fullmatch(rf"{path.name}\.\d+", each.name)]
    full.sort(key=lambda each: -int(each.suffix[1:]))
    return [*full, *([path] if path.exists() else [])]


def values(path: Path) -> list[bytes]:
    """All whole lines, oldest first."""
    return [line for each in files(path) for line in each.read_bytes().split(b"\n")[:-1]]


def so_far(path: Path) -> list[bytes]:
    """The same while someone writes and rotates: nothing where a file has just gone."""
    try:
        return values(path)
    except FileNotFoundError:
        return []


def destination(
    path: Path, octets: int = 10_000, count: int = 3, total: int = 0
) -> FileDestination:
    settings = FileSettings(octets=octets, count=count, total=total or octets * 9, mode=0o640)
    made = FileDestination(settings, lambda: None)
    made.open(str(path))
    return made


def messages(first: int, end: int) -> list[Message]:
    return [Message(value=record(number)) for number in range(first, end)]


def test_rotates_by_size_and_count(tmp_path: Path) -> None:
    """No file is larger than told, as many full ones as told are kept, and those are the newest."""
    path = tmp_path / "audit.log"
    made = destination(path)
    for first in range(0, 1000, 100):
        made.write(messages(first, first + 100))
    assert made.finish(1) == 1000
    made.close()
    found = files(path)
    assert [each.name for each in found] == [
        "audit.log.3",
        "audit.log.2",
        "audit.log.1",
        "audit.log",
    ]
    assert all(each.stat().st_size <= 10_000 for each in found)
    assert all(each.stat().st_mode & 0o777 == 0o640 for each in found)
    kept = values(path)
    assert kept == [record(number) for number in range(1000 - len(kept), 1000)]


def test_signs_that_mean_something_in_patterns_mean_nothing_in_a_name(tmp_path: Path) -> None:
    """Else no full file would be seen, and each would be written over by the next."""
    path = tmp_path / "acme[1].log"
    made = destination(path)
    for first in range(0, 1000, 100):
        made.write(messages(first, first + 100))
    made.close()
    assert sorted(each.name for each in tmp_path.glob("acme*")) == [
        "acme[1].log",
        "acme[1].log.1",
        "acme[1].log.2",
        "acme[1].log.3",
    ]


def test_stays_below_the_total(tmp_path: Path) -> None:
    """The oldest go before all files together are larger than told."""
    path = tmp_path / "audit.log"
    made = destination(path, count=100, total=35_000)
    for first in range(0, 1000, 50):
        made.write(messages(first, first + 50))
        assert sum(each.stat().st_size for each in files(path)) <= 35_000
    made.close()
    assert len(files(path)) >= 3


def test_a_large_record_keeps_the_total(tmp_path: Path) -> None:
    """One that has a file of its own makes room for it first."""
    path = tmp_path / "audit.log"
    made = destination(path, octets=100, count=100, total=1_000)
    made.write([Message(value=b"x" * 99)] * 9)
    made.write([Message(value=b"y" * 599), Message(value=b"z")])
    made.close()
    assert sum(each.stat().st_size for each in files(path)) <= 1_000
    assert [line[:1] for line in values(path)] == [b"x"] * 3 + [b"y", b"z"]
    destination(path, octets=100, count=100, total=700).close()
    assert sum(each.stat().st_size for each in files(path)) <= 700


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """Of a log rotation by date, or with numbers of its own kind."""
    path = tmp_path / "audit.log"
    others = [tmp_path / f"audit.log.{name}" for name in ("20261127", "01", "1.gz", "0")]
    for each in others:
        each.write_text("theirs")
    made = destination(path, octets=100, count=1)
    made.write([Message(value=b"x" * 99)] * 9)
    made.close()
    assert [each.read_text() for each in others] == ["theirs"] * 4
    assert (tmp_path / "audit.log.1").stat().st_size == 100


def test_a_line_break_is_none(tmp_path: Path) -> None:
    """A record is a line, and one that is larger than a file may be has its own."""
    path = tmp_path / "audit.log"
    made = destination(path, octets=100)
    large = b"y" * 300
    made.write([Message(value=b"a\nb"), Message(value=large), Message(value=b"c")])
    made.close()
    assert [each.read_bytes() for each in files(path)] == [b"a b\n", large + b"\n", b"c\n"]


def test_a_cut_line_is_taken_out(tmp_path: Path) -> None:
    """What a crash has left of a line is gone once the file is opened; its record comes again."""
    path = tmp_path / "audit.log"
    path.write_bytes(record(0) + b"\n" + record(1)[:7])
    made = destination(path)
    made.write(messages(1, 3))
    made.close()
    assert values(path) == [record(0), record(1), record(2)]
    path.write_bytes(b"z" * 200_000)
    destination(path).close()
    assert path.read_bytes() == b""


def test_two_never_write_one_file(tmp_path: Path) -> None:
    """The second waits until the first has ended."""
    path = tmp_path / "audit.log"
    first = destination(path)
    with pytest.raises(UnreachableError, match="another process writes it"):
        destination(path)
    first.close()
    destination(path).close()


def test_moved_away(tmp_path: Path) -> None:
    """A file that someone else has moved is left alone, and a new one is begun."""
    path = tmp_path / "audit.log"
    made = destination(path)
    made.write(messages(0, 5))
    path.rename(tmp_path / "theirs")
    assert made.finish(1) == 5
    made.write(messages(5, 10))
    made.close()
    assert (tmp_path / "theirs").read_bytes().count(b"\n") == 5
    assert values(path) == [record(number) for number in range(5, 10)]


def test_what_cannot_be_opened_again_closes_no_other_file(tmp_path: Path) -> None:
    """Somebody moved the file away and made a folder of its name: the lane closes what is its own
    once, as the number of its file may be another's by then."""
    path = tmp_path / "archive.log"
    made = destination(path)
    made.write(messages(0, 5))
    path.rename(tmp_path / "moved.log")
    path.mkdir()
    with pytest.raises(UnreachableError):
        made.finish(0.0)
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    made.close()
    for each in others:
        os.fstat(each)
        os.close(each)


def test_a_cut_refusal_spoils_no_other(tmp_path: Path) -> None:
    """A full disk has left half a line: what is refused next has a line of its own."""
    refusals = Refusals("siem", tmp_path / "refused.ndjson")
    refused = Message(topic="feed", partition=0, offset=1, key=b"k", value=b"v")
    refusals.keep([(refused, "no")])
    whole = refusals.file.read_bytes()
    refusals.file.write_bytes(whole + whole[:30])
    refusals.keep([(refused, "never")])
    *_, last = refusals.file.read_bytes().splitlines()
    assert orjson.loads(last)["reason"] == "never"


def test_full_disk() -> None:
    """Nothing counts as delivered that the disk has no room for."""
    made = FileDestination(FileSettings(octets=1000, count=1, total=9000, mode=0o600), lambda: None)
    made._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(UnreachableError, match="No space left"):
        made.write(messages(0, 5))
    assert made.settle(0) == 0
    made.close()


@pytest.mark.broker
@pytest.mark.kill
def test_delivering_process_killed(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """`northbound deliver NAME` is killed with SIGKILL while records come: after a restart every
    record is in the files, a host's in order, and offsets say so."""
    path = tmp_path / "out" / "audit.log"
    to = {"type": "file", "path": "out/audit.log", "size": "100KiB", "count": 1000}
    tenant = Tenant(kafka, tmp_path, unique("file"), [{"name": "archive", "to": to}])
    argv = [sys.executable, "-c", "from app.cli import main; main()", "deliver", "archive"]
    argv += ["--config", str(tenant.config.home / "northbound.yaml")]
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            argv, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    count = 6000
    try:
        writer = tenant.write_steadily(count, 1.5)
        wait_for(lambda: len(so_far(path)) > count // 4, "some records")
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        with delivering(tenant.config) as made:
            writer.join()
            wait_for(lambda: len(set(so_far(path))) >= count, "all records")
            wait_for(lambda: made[0].totals().lag == 0, "no lag")
        whole_and_in_order(values(path), count)
        assert sum(committed(tenant.config, "archive").values()) >= count
        assert len(files(path)) > 5
    finally:
        process.kill()
        process.wait()
