"""A response as a lane of a delivery uses it: each record of the alerts feed is chosen, or passed
over, or held back by the limit, or acted upon, one after the other.

An alert that was refused, or tried too often, is kept or logged, and the next one has its turn.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message

from app.deliver.destination import Destination, UnreachableError
from app.deliver.refusals import Refusals
from app.respond.action import Action, AgainError, RefusedError
from app.respond.limit import REMEMBERED, Limits
from app.respond.notification import Notification, read
from app.respond.selection import Selection

log = logging.getLogger(__name__)

SYNC_S: Final = 1.0
"""How long what was held back may wait for the disk."""


@dataclass(frozen=True, kw_only=True)
class ResponseSettings:
    """`keeps`: whether alerts that are given up are kept, or only logged."""

    name: str
    selection: Selection
    tries: int
    keeps: bool
    refusals: Refusals


class ResponseDestination(Destination):
    """Sends records to an action."""

    def __init__(self, settings: ResponseSettings, action: Action, limits: Limits | None) -> None:
        self._settings = settings
        self._action = action
        self._limits = limits
        self._handled = self._dealt_with = 0
        self._synced = 0.0
        self._acted = False
        self._tries: tuple[str, int] = ("", 0)
        self._counts: Counter[str] = Counter()
        self.refused = self.skipped = self.summed = 0

    def open(self, address: str) -> None:
        """Have the action ready, and what was counted."""
        self._handled = self._dealt_with = 0
        self._counts.clear()
        if self._limits is not None:
            self._limits.open()
        self._action.open(address)

    def room(self) -> int:
        """One: what is done must not be done again because of another alert."""
        return 1

    def write(self, messages: Sequence[Message]) -> None:
        """Returns when each is dealt with."""
        for message in messages:
            self._sum_up()
            self._handle(message)
            self._handled += 1

    @property
    def acknowledged(self) -> int:
        """Those that are dealt with for good."""
        return self._dealt_with

    def settle(self, _seconds: float) -> int:
        """Those that are dealt with, and counted on disk."""
        limits = self._limits
        if limits is not None:
            self._sum_up()
            many = self._handled - self._dealt_with >= REMEMBERED // 2
            old = time.monotonic() - self._synced >= SYNC_S
            if limits.dirty and (self._acted or many or old):
                limits.keep()
                self._synced = time.monotonic()
                self._acted = False
        if limits is None or not limits.dirty:
            self._acknowledge()
        return self._dealt_with

    def finish(self, _seconds: float) -> int:
        """The same, without waiting."""
        if self._limits is not None and self._limits.dirty:
            self._limits.keep()
        self._acknowledge()
        return self._dealt_with

    def close(self) -> None:
        """Let go of the action."""
        self._action.close()
        if self._limits is not None:
            self._limits.close()

    def _acknowledge(self) -> None:
        """All that was dealt with; it counts from now on, and once."""
        self._dealt_with = self._handled
        self.refused += self._counts["refused"]
        self.skipped += self._counts["skipped"]
        self.summed += self._counts["summed"]
        self._counts.clear()

    def _handle(self, message: Message) -> None:
        try:
            alert = read(message.value(), self._settings.name)
        except ValueError as error:
            self._give_up(message, None, f"expected a finding in ocsf-json: {error}")
            return
        if not self._settings.selection(alert):
            self._counts["skipped"] += 1
            return
        limits = self._limits
        if limits is not None and limits.knows(alert.key):
            self._counts["skipped"] += 1
        elif limits is not None and not limits.allows(alert.rule):
            limits.held(alert)
            self._counts["summed"] += 1
        else:
            reason = self._act(alert)
            if reason is not None:
                self._give_up(message, alert, reason)
            if limits is not None:
                limits.told(alert)
                self._acted = True

    def _act(self, alert: Notification) -> str | None:
        """Why it was given up; None: it is done. Raises UnreachableError."""
        try:
            self._action.act(alert)
        except RefusedError as error:
            return str(error)
        except AgainError as error:
            known, tries = self._tries
            tries = tries + 1 if known == alert.key else 1
            self._tries = alert.key, tries
            if tries < self._settings.tries:
                raise UnreachableError(f"{error} (try {tries} of {alert.key})") from None
            return f"{error} (after {tries} tries)"
        return None

    def _sum_up(self) -> None:
        """Tell what was too much. Raises UnreachableError."""
        if self._limits is None:
            return
        self._limits.look()
        for rule, alert in list(self._limits.due()):
            reason = self._act(alert)
            if reason is not None:
                log.error("A summary was given up. response=%s key=%s reason=%s",
                          self._settings.name, alert.key, reason)  # fmt: skip
            self._limits.summed_up(rule)
            self._acted = True

    def _give_up(self, message: Message, alert: Notification | None, reason: str) -> None:
        """Returns when it is where it belongs. Raises UnreachableError."""
        if self._settings.keeps:
            self._settings.refusals.keep([(message, reason)])
        else:
            log.error(
                "An alert was given up. response=%s key=%s reason=%s",
                self._settings.name,
                (message.key() or b"").decode("utf-8", "replace") if alert is None else alert.key,
                reason,
            )
        self._counts["refused"] += 1
