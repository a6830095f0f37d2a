"""A stalled worker notices it itself, ends with a reason, and another one does its work."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.broker.server import EmbeddedKafka
from app.runtime.aborts import STUCK
from app.runtime.faust_app import HARD
from app.runtime.settings import (
    MOST_PARTITIONS,
    STALL_S,
    TRANSACTION_S,
    EngineSettings,
    transaction_timeout,
)
from app.runtime.transaction import GRACE, SLICE
from app.runtime.watchdog import INTERVAL, STALLED, TELL_S
from tests.runtime.processes import wait_for
from tests.runtime.scenario import Scenario

LIMIT_S = 30.0
"""Within which a stall is to be noticed."""
STACKS = "most recent call first"


@pytest.mark.parametrize("partitions", [1, 667, 800, MOST_PARTITIONS, 1_000_000])
def test_every_stall_is_noticed_within_30_seconds(partitions: int) -> None:
    """The time-outs that hold when nobody sets others add up to no more, however many partitions a
    transaction writes to."""
    settings = EngineSettings(
        name="x",
        group="x",
        topics=("x",),
        instance="x",
        client={"bootstrap.servers": "x"},
        transaction_timeout=transaction_timeout(partitions),
    )
    assert TRANSACTION_S[0] <= settings.transaction_timeout <= TRANSACTION_S[1]
    # A late look, and the second look that a slow machine may need.
    late = 4 * INTERVAL + TELL_S
    assert max(STALL_S, settings.stall_timeout) + late < LIMIT_S
    stuck = max(settings.transaction_timeout, SLICE + GRACE)
    assert settings.call_timeout + stuck + GRACE + late < LIMIT_S
    # Transactions that are stuck one after the other, each with a new producer.
    share, least = STUCK
    assert (share * settings.stall_timeout // stuck + 2) * stuck <= LIMIT_S
    assert least * stuck < LIMIT_S
    assert STALL_S * HARD <= LIMIT_S


@pytest.mark.broker
@pytest.mark.kill
@pytest.mark.parametrize(
    ("kind", "status", "reasons"),
    [
        ("loop", STALLED, ["the event loop showed no progress for 6 s", STACKS]),
        ("consumer", STALLED, ["counting showed no progress for 8 s (polling)", STACKS]),
        ("transaction", 1, ["3 transactions in a row", "commit_transaction does not return"]),
    ],
)
def test_a_stalled_worker_ends_and_its_work_moves(
    kafka: EmbeddedKafka,
    tmp_path: Path,
    unique: Callable[[str], str],
    seed: int,
    kind: str,
    status: int,
    reasons: list[str],
) -> None:
    """Event loop blocked, consumer dead, transactions stuck whatever the producer: the reason is in
    the log, the other worker takes the partitions over, nothing is lost or doubled."""
    file = tmp_path / "stall"
    run = Scenario(
        kafka.bootstrap,
        tmp_path,
        unique("stall"),
        seed,
        stall_file=str(file),
        stall_timeout=8.0,
    )
    try:
        (other,) = run.start()
        stalled = run.add(stall=kind)
        wait_for(lambda: len(stalled.stats().get("partitions", [])) == 2, "half of the partitions")
        run.progress(stalled)
        file.touch()
        started = time.monotonic()
        assert stalled.wait(2 * LIMIT_S) == status, run.logs()  # the machine may be busy
        print(f"{kind}: ended after {time.monotonic() - started:.1f} s")
        log = stalled.log.read_text()
        assert all(reason in log for reason in reasons), log[-3000:]
        run.workers.remove(stalled)  # ended, and not to be started again
        wait_for(lambda: len(other.stats().get("partitions", [])) == 4, "take-over")
        print(f"{kind}: taken over after {time.monotonic() - started:.1f} s")
        count = run.finish()
        other.signal(signal.SIGTERM)
        assert other.wait() == 0, run.logs()
        verdict = run.verdict(count)
        assert verdict.right, f"{verdict}\n{run.logs()}"
    finally:
        run.close()
