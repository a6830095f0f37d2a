"""What `northbound replay` says of old files."""

import datetime as dt
import os
from pathlib import Path

from app.commands.replay import undated
from app.config.model import Source

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
