"""One lane of a delivery: from its partitions to one receiver, in order. A thread of its own.

An offset is committed only when the receiver has every record before it. After a lost connection
the lane reads again from there, so that a record can come twice and none is left out; while no
receiver can be reached, nothing is read. With several addresses the first that can be reached is
taken; one that took nothing of what it was sent is tried after the others. A lane that shares its
partitions with others leaves them to those while it cannot deliver.
"""

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaException, Message

from app.deliver.destination import StoppedError, UnreachableError
from app.deliver.intake import Intake
from app.deliver.pauses import Held
from app.deliver.positions import Place
from app.deliver.settings import DeliverySettings
from app.deliver.totals import Totals

log = logging.getLogger(__name__)

COMMIT_S: Final = 1.0
POLL_S: Final = 0.5
REVOKED_S: Final = 2.0
"""How long partitions that another lane gets are waited for, so that it repeats little."""
FINISH_S: Final = 8.0
ACKNOWLEDGE_S: Final = 0.02
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
AGAIN_S: Final = 2.0


class Lane:
    """`addresses`: the first that can be reached is taken. `held`: topics to leave alone."""

    def __init__(
        self,
        settings: DeliverySettings,
        client: Mapping[str, Any],
        addresses: Sequence[str],
        held: Held,
    ) -> None:
        self.totals = Totals()
        self._settings = settings
        self._addresses = addresses
        self._next = 0
        """The one that is tried first."""
        self._shares = settings.shares
        self._destination = settings.make(self._wait)
        self._intake = Intake(settings, client, self.totals, self._leaving, held)
        self._stopping = threading.Event()
        self._ending = float("inf")
        self._busy = False
        self._failure: UnreachableError | None = None
        self._committed = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._thread = threading.Thread(target=self._run, name=settings.name, daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end in order."""
        self._ending = time.monotonic() + FINISH_S
        self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait until it has ended; what is not committed by then is delivered again."""
        self._thread.join(seconds)

    @property
    def places(self) -> list[Place]:
        """The partitions that it has now."""
        return sorted(self._intake.positions.places) if self._intake.is_open else []

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait = AGAIN_S
            try:
                self._session()
            except StoppedError:
                return
            except UnreachableError as error:
                wait = max(wait, error.wait_s, self._pause())
            except KafkaException as error:
                log.warning("It begins anew. delivery=%s error=%s", self._settings.name, error)
            except BaseException:  # a panic of native code is no Exception, and no end of this
                log.exception("Delivering failed. delivery=%s", self._settings.name)
            self._stopping.wait(wait)

    def _session(self) -> None:
        """As a member of the group, until told to stop or, where others share, not reachable."""
        if self._shares and not self._connect():
            return
        try:
            self._intake.open()
            while self._shares or self._connect():
                try:
                    self._forward()
                    return
                except UnreachableError as error:
                    self._lost(error)
                    if self._shares:
                        raise
                except StoppedError:
                    self._give_up()
                    raise
        finally:
            self.totals.connected = ""
            self._destination.close()
            self._intake.close()

    def _connect(self) -> bool:
        """Try the addresses, in order, until one can be reached; False: told to stop."""
        while not self._stopping.is_set():
            for address in (*self._addresses[self._next :], *self._addresses[: self._next]):
                try:
                    self._destination.open(address)
                except UnreachableError as error:
                    log.warning("Not reached. delivery=%s %s", self._settings.name, error)
                    self._destination.close()
                    self.totals.failures += 1
                    self._wait()
                else:
                    log.info("Delivering. delivery=%s address=%s", self._settings.name, address)
                    self.totals.connected = address
                    return True
            self._hold_off(0.0)
        return False

    def _hold_off(self, seconds: float) -> None:
        """Wait longer each time, seen alive by Kafka; `seconds` at least."""
        until = time.monotonic() + max(self._pause(), seconds)
        while (left := until - time.monotonic()) > 0 and not self._stopping.is_set():
            self._stopping.wait(min(left, POLL_S))
            self._wait()

    def _pause(self) -> float:
        """Seconds until the next try; longer each time until the receiver has taken something."""
        pause = self._pause_s * random.uniform(0.75, 1.25)  # noqa: S311  # no secret
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return pause

    def _give_up(self) -> int:
        """What the receiver is known to have is delivered; how many records are not."""
        self._count(self._destination.acknowledged)
        return self._intake.positions.lost()

    def _lost(self, error: UnreachableError) -> None:
        """Read again what the receiver has not acknowledged."""
        again = self._give_up()
        self._intake.commit()
        took_nothing = again > 0 and self._destination.acknowledged == 0
        # One that can be connected to may be a proxy before a receiver that is gone.
        behind = self._addresses.index(self.totals.connected) + 1 if took_nothing else 0
        self._next = behind % len(self._addresses)
        log.warning(
            "The receiver is lost; what it has not acknowledged is sent again. "
            "delivery=%s records=%d reason=%s",
            self._settings.name,
            again,
            error,
        )
        self.totals.failures += 1
        self.totals.retried += again
        self.totals.connected = ""
        self._destination.close()
        if not self._shares:
            self._intake.rewind()
            self._hold_off(error.wait_s)

    def _forward(self) -> None:
        """Until told to stop; raises UnreachableError."""
        destination, intake = self._destination, self._intake
        self._failure = None
        while not self._stopping.is_set():
            room = destination.room()
            messages = intake.read(room, destination.patience()) if room > 0 else []
            if self._failure is not None:
                raise self._failure
            if messages or intake.news:
                self._write(messages)
            elif not room:
                self._wait()
            self._settle(0.0 if messages else ACKNOWLEDGE_S)
            if time.monotonic() - self._committed >= COMMIT_S:
                self._committed = time.monotonic()
                intake.look()
                intake.commit()
        with suppress(UnreachableError):
            destination.finish(max(0.0, self._ending - time.monotonic()))
        self._give_up()
        intake.look()
        intake.commit(wait=True)

    def _write(self, messages: list[Message]) -> None:
        wanted = messages
        if not all(map(Message.value, messages)):  # a tombstone or nothing
            wanted = [message for message in messages if message.value()]
        records = wanted if self._destination.by_record else ()
        self._intake.positions.wrote(len(wanted), self._intake.reached(), records)
        self._busy = True
        try:
            if wanted:
                self._destination.write(wanted)
        finally:
            self._busy = False

    def _settle(self, seconds: float) -> None:
        self._busy = True
        try:
            acknowledged = self._destination.settle(seconds)
        finally:
            self._busy = False
        self._count(acknowledged)

    def _count(self, acknowledged: int) -> None:
        new = self._intake.positions.settle(acknowledged)
        totals, destination = self.totals, self._destination
        counted = totals.refused + totals.skipped + totals.summed
        totals.refused, totals.skipped = destination.refused, destination.skipped
        totals.summed = destination.summed
        totals.delivered += new - (totals.refused + totals.skipped + totals.summed - counted)
        if new:
            self._pause_s = FIRST_PAUSE_S

    def _wait(self) -> None:
        """While the receiver takes nothing: stay a member of the group. Raises StoppedError."""
        if self._stopping.is_set() and time.monotonic() > self._ending:
            raise StoppedError
        if self._intake.is_open and time.monotonic() - self._intake.polled > POLL_S:
            self._intake.hold()

    def _leaving(self) -> None:
        """Another lane gets partitions: wait a moment for what is under way."""
        until = time.monotonic() + REVOKED_S
        try:
            while (
                not self._busy
                and self.totals.connected
                and self._intake.positions.waiting
                and self._failure is None
                and time.monotonic() < until
            ):
                self._settle(ACKNOWLEDGE_S)
                time.sleep(0.002)
        except UnreachableError as error:
            self._failure = error  # nothing that is acknowledged later may be taken for this
        except StoppedError:
            return  # what is under way is delivered again
