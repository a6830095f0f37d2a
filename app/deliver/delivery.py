"""A delivery: its lanes, one for each address with `balance`, else one for all."""

import time
from collections.abc import Mapping
from typing import Any

from app.deliver.lane import Lane
from app.deliver.pauses import Held, nothing
from app.deliver.settings import DeliverySettings
from app.deliver.totals import Totals, added


class Delivery:
    """`client`: librdkafka configuration of Northbound's own processes. `held` says of a topic
    whether nothing of it is to be delivered for now; it is asked often."""

    def __init__(
        self, settings: DeliverySettings, client: Mapping[str, Any], held: Held = nothing
    ) -> None:
        self.settings = settings
        self._held = held
        self._lanes = [Lane(settings, client, each, held) for each in settings.lanes]

    def start(self) -> None:
        """Begin, each lane in a thread of its own."""
        for lane in self._lanes:
            lane.start()

    def stop(self) -> None:
        """Ask the lanes to end in order."""
        for lane in self._lanes:
            lane.stop()

    def join(self, deadline: float) -> None:
        """Wait for them until this time of time.monotonic()."""
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    def totals(self) -> Totals:
        """Of all lanes, as of now."""
        return added(lane.totals for lane in self._lanes)

    def shares(self) -> list[list[tuple[str, int]]]:
        """The partitions (topic, number) that each lane has now."""
        return [lane.places for lane in self._lanes]

    def held(self) -> list[str]:
        """The feeds that are held back now."""
        return [each.name for each in self.settings.feeds if self._held(each.topic)]

    def status(self) -> dict[str, Any]:
        """What `northbound status` shows."""
        totals = self.totals()
        return {
            "name": self.settings.name,
            "tenant": self.settings.tenant,
            "type": self.settings.kind,
            "to": totals.connected or None,
            "delivered": totals.delivered,
            "retried": totals.retried,
            "refused": totals.refused,
            "skipped": totals.skipped,
            "summed": totals.summed,
            "expired": totals.expired,
            "lag": totals.lag,
            "held": self.held(),
        }
