"""Waits until a broker shows a change: the controller tells brokers a moment after its answer."""

import time
from collections.abc import Callable
from typing import Final

from app.broker.cluster_error import ClusterError

TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.05


def wait_settled(shown: Callable[[], bool], what: str) -> None:
    """Return when `shown` is true. Raises ClusterError, which names `what` was changed."""
    deadline = time.monotonic() + TIMEOUT_S
    while not shown():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{what}: the change was accepted, but no broker shows it after {TIMEOUT_S:.0f} s. "
                "Are all brokers of the cluster up?"
            )
        time.sleep(POLL_S)
