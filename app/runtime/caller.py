"""Calls that are left behind when they do not come back in time.

librdkafka's time-outs are no bounds: send_offsets_to_transaction waits for a group coordinator that
is gone until some connection of the same producer changes its state (librdkafka #5456, #5511).
Nothing can interrupt it, but a new producer can take its place.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Work = tuple[Callable[..., None], tuple[Any, ...], "_Answer"]


class CallStuckError(Exception):
    """The call has not returned and may never do so."""


class _Answer:
    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: BaseException | None = None


class Caller:
    """Makes one call at a time, in a thread that is given up with a call that is stuck."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[Work | None] | None = None

    def call(self, seconds: float, function: Callable[..., None], *arguments: Any) -> None:
        """As `function(*arguments)`. Raises CallStuckError after `seconds`."""
        if self._queue is None:
            self._queue = SimpleQueue()
            threading.Thread(
                target=_run, args=(self._queue,), name=f"{self._name} calls", daemon=True
            ).start()
        answer = _Answer()
        self._queue.put((function, arguments, answer))
        if not answer.done.wait(seconds):
            self.close()
            raise CallStuckError
        if answer.error is not None:
            raise answer.error

    def close(self) -> None:
        """End the thread, after the call that it is in."""
        if self._queue is not None:
            self._queue.put(None)
            self._queue = None


def _run(queue: SimpleQueue[Work | None]) -> None:
    while (work := queue.get()) is not None:
        function, arguments, answer = work
        try:
            function(*arguments)
        except BaseException as error:  # it is raised where the call was made
            answer.error = error
        answer.done.set()
        del work, function, arguments, answer  # a producer must not live on in this frame
