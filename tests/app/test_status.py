"""Status files tell commands what processes do; a process never ends because of them."""

from pathlib import Path

import pytest

from app.status import read_status, write_status


def test_a_status_file_that_cannot_be_written_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker goes on with a full or read-only state directory, and says what is wrong."""
    write_status(tmp_path, "worker-0", {"ready": True})
    assert read_status(tmp_path)["worker-0"]["ready"]
    (tmp_path / "worker-1.json.new").mkdir()
    write_status(tmp_path, "worker-1", {"ready": True})
    assert "status file cannot be written" in caplog.text
