"""Status files tell commands what processes do; a process never ends because of them."""

from pathlib import Path

import pytest

from app.commands.status import _processes
from app.ingest.ledger import Ledger
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


def test_what_a_listener_lost_is_shown() -> None:
    """To people too, who do not read the ledger's JSON: what Kafka refused, what was cut off, what
    the kernel dropped, and senders that were sent away. Of one without losses nothing of it."""
    ledger = Ledger("tcp", "nas", "0.0.0.0:5514", received=1_200, published=1_200)
    assert _shown(ledger) == "0.0.0.0:5514 received 1,200 published 1,200"
    ledger.published = 1_190
    ledger.refused["MSG_SIZE_TOO_LARGE"] = 7
    ledger.refused["INVALID_RECORD"] = 2
    ledger.dropped = ledger.connections_refused = 1
    ledger.dropped_bytes = 5_000
    ledger.kernel_drops = 3
    assert _shown(ledger) == (
        "0.0.0.0:5514 received 1,200 published 1,190 refused 9 dropped 1 dropped_bytes 5,000 "
        "kernel_drops 3 connections_refused 1"
    )


def _shown(ledger: Ledger) -> str:
    (row,) = _processes({"ingest": {"pid": 1, "listeners": [ledger.as_dict()]}})
    return str(row["what"])
