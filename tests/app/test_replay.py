"""What `northbound replay` says of old files, and of lines that no correlation would count."""

import datetime as dt
import os
from pathlib import Path

from app.commands.replay import undated
from app.config.sources import Source
from app.late_lines import Late, late
from tests.topology.deployment import SOURCE, START, line
from topology.partitioner import partitions
from topology.watermark import NOTHING

HOUR = 3_600_000
NOW_MS = START + 24 * HOUR
NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)


def _file(folder: Path, written: dt.datetime) -> Path:
    file = folder / "messages"
    file.write_bytes(b"<34>Mar  1 01:02:03 h a: m\n")
    os.utime(file, (written.timestamp(), written.timestamp()))
    return file


def test_an_old_file_wants_a_reference(tmp_path: Path) -> None:
    """Where times may lack a year, with the option to set and the day to set it to."""
    old = _file(tmp_path, dt.datetime(2024, 3, 2, tzinfo=dt.UTC))
    for name in ("rfc3164", "auto", "cef"):
        told = undated(old, Source(format=name), NOW)
        assert told is not None
        assert "`options: {reference: 2024-03-02}`" in told


def test_nothing_is_said_where_years_are_right(tmp_path: Path) -> None:
    """A recent file, a format that names years, a source that has a reference, and no file."""
    old = _file(tmp_path, dt.datetime(2024, 3, 2, tzinfo=dt.UTC))
    assert undated(old, Source(format="qumulo"), NOW) is None
    given = Source(format="rfc3164", options={"reference": "2024-03-02"})
    assert undated(old, given, NOW) is None
    assert undated(Path("-"), Source(format="rfc3164"), NOW) is None
    assert undated(tmp_path / "none", Source(format="rfc3164"), NOW) is None
    recent = _file(tmp_path, NOW - dt.timedelta(days=30))
    assert undated(recent, Source(format="rfc3164"), NOW) is None


def _reached(others: int, key: bytes, own: int) -> dict[int, int]:
    """Event time on four partitions, and on that of a key."""
    (place,) = partitions([key], 4).tolist()
    return {**dict.fromkeys(range(4), others), place: own}


def test_late_lines_are_those_behind_their_own_partition() -> None:
    """The first one is told, whatever is before it; what other partitions have reached is nothing
    to a line that has its place, and a line that may go anywhere is late where all are ahead."""
    lines, passed = [b"no line of Qumulo's", line(START, "eve")], START + HOUR
    found = Late(START, passed)
    assert late(SOURCE, lines, "host", _reached(NOTHING, b"nas-1", passed), NOW_MS) == found
    assert late(SOURCE, lines, "host", _reached(passed, b"nas-1", NOTHING), NOW_MS) is None
    assert late(SOURCE, lines, "mine", _reached(NOTHING, b"mine", passed), NOW_MS) == found
    assert late(SOURCE, lines, "mine", _reached(passed, b"mine", NOTHING), NOW_MS) is None
    assert late(SOURCE, lines, "spread", dict.fromkeys(range(4), passed), NOW_MS) == found
    assert late(SOURCE, lines, "spread", _reached(passed, b"mine", NOTHING), NOW_MS) is None


def test_lateness_is_the_sources() -> None:
    """What is just within it counts; so does all in a topic that has nothing yet, and no lines."""
    there = dict.fromkeys(range(4), START + SOURCE.lateness_ms)
    assert late(SOURCE, [line(START, "eve")], "host", there, NOW_MS) is None
    assert late(SOURCE, [line(START - 1, "eve")], "host", there, NOW_MS) is not None
    assert (
        late(SOURCE, [line(START - HOUR, "eve")], "host", dict.fromkeys(range(4), NOTHING), NOW_MS)
        is None
    )
    assert late(SOURCE, [], "host", there, NOW_MS) is None
