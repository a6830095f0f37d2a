"""Ends the process when something that must come back does not.

librdkafka's own time-outs are no bounds: after a broker crash a transaction call was seen to block
for more than a minute, and nothing can interrupt it. The process then ends with status 75, its
supervisor starts another, and the open transaction is aborted; nothing is lost or doubled.
"""

import faulthandler
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

STALLED = 75
"""Exit status: EX_TEMPFAIL of sysexits.h, start me again."""
TELL_S = 2.0
"""Seconds that saying why may take."""
INTERVAL = 0.25


def end_process(reason: str) -> None:
    """Say why, show where every thread is, and end without waiting for any of them, nor for whoever
    reads it: one that takes nothing more may be what everything stands still for."""
    try:
        telling = threading.Thread(target=_tell, args=(reason,), daemon=True)
        telling.start()
        telling.join(TELL_S)
    finally:
        os._exit(STALLED)


def _tell(reason: str) -> None:
    with suppress(OSError):  # stderr may be gone
        os.write(2, f"northbound: {reason} The process ends and is to be started again.\n".encode())
        # By way of a file: faulthandler holds the interpreter while it writes.
        with tempfile.TemporaryFile() as stacks:
            faulthandler.dump_traceback(stacks, all_threads=True)
            stacks.seek(0)
            os.write(2, stacks.read())


class Pulse:
    """Something that must show progress at least every `limit` seconds of the watchdog's clock."""

    def __init__(self, watchdog: "Watchdog", name: str, limit: float) -> None:
        self._watchdog = watchdog
        self.name = name
        self.limit = limit
        self.doing = "starting"
        self.due = watchdog.clock + limit

    def beat(self, doing: str) -> None:
        """There was progress; `doing` is what comes next and is named if it never ends."""
        self.doing = doing
        self.due = self._watchdog.clock + self.limit

    def end(self) -> None:
        """No more progress is expected."""
        self._watchdog.forget(self)


class Watchdog:
    """Watches calls (`guard`) and loops (`watch`) from a thread of its own.

    Its clock stands still while the process is stopped (SIGSTOP, a suspended machine), so that a
    process that wakes up first learns that it was fenced.
    """

    def __init__(
        self,
        end: Callable[[str], None] = end_process,
        *,
        interval: float = INTERVAL,
        hard_limit: float | None = None,
    ) -> None:
        """`hard_limit`: seconds after which a process whose interpreter is blocked ends too."""
        self.clock = 0.0
        self._end = end
        self._interval = interval
        self._hard_limit = hard_limit
        self._pulses: set[Pulse] = set()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch; calling it again does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if self._hard_limit is not None:
            faulthandler.cancel_dump_traceback_later()

    def watch(self, name: str, limit: float) -> Pulse:
        """Expect a beat at least every `limit` seconds from now on."""
        pulse = Pulse(self, name, limit)
        self._pulses.add(pulse)
        return pulse

    def forget(self, pulse: Pulse) -> None:
        """Expect nothing more of it."""
        self._pulses.discard(pulse)

    @contextmanager
    def guard(self, what: str, limit: float) -> Iterator[None]:
        """Expect the enclosed call to come back within `limit` seconds."""
        pulse = self.watch(what, limit)
        pulse.doing = "waiting for it to return"
        try:
            yield
        finally:
            self.forget(pulse)

    def _run(self) -> None:
        last = time.monotonic()
        armed = 0.0
        while not self._stopped.wait(self._interval):
            now = time.monotonic()
            if self._hard_limit is not None and now > armed:
                # A C thread's timer: it also fires when this thread cannot get the interpreter.
                faulthandler.dump_traceback_later(self._hard_limit, exit=True, file=2)
                armed = now + self._hard_limit / 4
            self.clock += min(now - last, 2 * self._interval)
            last = now
            for pulse in self._pulses.copy():
                if self.clock > pulse.due and pulse in self._pulses:
                    self._end(
                        f"{pulse.name} showed no progress for {pulse.limit:g} s ({pulse.doing})."
                    )
