"""Single records on their way out, sent by agents, timers and web views."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.runtime.errors import EngineError

UNKNOWN = (
    "The transaction's commit did not answer, and nothing tells whether it was done: the record "
    "may have been written. Look for it before it is sent again."
)


def _nobody(_: BaseException | None) -> None:
    """Nobody waits."""


@dataclass(slots=True)
class Parcel:
    """`timestamp` is in milliseconds, 0 for now; `partition` None is by the key's hash.

    `done` is called once, from the engine's thread: with None when the record has arrived, or with
    the reason why it will not come, or why nobody knows whether it has.
    """

    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] | None = None
    done: Callable[[BaseException | None], None] = _nobody


class Outbox:
    """Records sent outside of a batch wait in `posted` for the next commit, even over an abort.

    Those sent within a batch are `sent`: under way in the open transaction. Posted ones whose
    commit did not answer are `doubted` until it is known what became of it: they go out once.
    """

    def __init__(self) -> None:
        self._posted: deque[Parcel] = deque()
        self._sent: list[Parcel] = []
        self._doubted: list[Parcel] = []
        self._closed: BaseException | None = None
        self._lock = threading.Lock()

    def post(self, parcel: Parcel) -> None:
        """For any thread."""
        with self._lock:
            if self._closed is None:
                self._posted.append(parcel)
                return
        parcel.done(self._closed)

    def posted(self) -> list[Parcel]:
        """What waits now; it waits on until `committed` is told about it."""
        return list(self._posted)

    def sent(self, parcel: Parcel) -> None:
        """It is under way."""
        self._sent.append(parcel)

    @property
    def waiting(self) -> bool:
        """Whether a commit has something to send."""
        return bool(self._posted)

    @property
    def under_way(self) -> bool:
        """Whether senders within a batch wait for an answer."""
        return bool(self._sent)

    def arrived(self) -> None:
        """All that was under way is there."""
        self._answer(self._sent, None)

    def committed(self, parcels: Sequence[Parcel]) -> None:
        """The transaction with these posted ones was committed."""
        for _ in parcels:
            self._posted.popleft()
        self.arrived()
        self._answer(list(parcels), None)

    def doubt(self, parcels: Sequence[Parcel]) -> None:
        """The commit of these posted ones has not said whether it was done."""
        for _ in parcels:
            self._posted.popleft()
        self._doubted += parcels

    @property
    def doubted(self) -> bool:
        """Whether it is not known of some what became of their commit."""
        return bool(self._doubted)

    def decided(self, *, committed: bool | None) -> None:
        """What became of it; None: that cannot be known, and the sender is told so."""
        if committed is False:
            with self._lock:
                self._posted.extendleft(reversed(self._doubted))
            self._doubted.clear()
        elif committed:
            self._answer(self._doubted, None)
        else:
            self._answer(self._doubted, EngineError(UNKNOWN))

    def aborted(self, reason: BaseException) -> None:
        """What was under way is lost; its batch comes again."""
        self._answer(self._sent, reason)

    def close(self, reason: BaseException) -> None:
        """Nothing will be sent any more."""
        with self._lock:
            self._closed = self._closed or reason
        self.aborted(reason)
        self.decided(committed=None)
        while self._posted:
            self._posted.popleft().done(reason)

    def _answer(self, parcels: list[Parcel], reason: BaseException | None) -> None:
        answered, parcels[:] = list(parcels), []
        for parcel in answered:
            parcel.done(reason)
