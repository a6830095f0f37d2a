"""What deliveries have done as Prometheus metrics, computed when they are asked for."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.deliver.delivery import Delivery

LABELS: Final = ("delivery", "tenant", "type")
COUNTERS: Final = {
    "delivered": "Records that the receiver has.",
    "retried": "Records that were under way when a connection was lost, and were sent again.",
    "refused": "Records that the receiver refused for good; they are kept with its reason.",
    "skipped": "Alerts that a response does not choose, or has answered already.",
    "summed": "Alerts that a response sums up, because they were too many.",
    "expired": "Offsets that retention removed before they were delivered.",
    "failures": "Connections to receivers that were lost or not made.",
}


class DeliveryCollector(Collector):
    """Families `northbound_delivery_*` with a sample for each delivery."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self._deliveries = deliveries

    def collect(self) -> Iterable[Metric]:
        """All families as of now."""
        found = [(_labels(each), each.totals()) for each in self._deliveries]
        for name, text in COUNTERS.items():
            counter = CounterMetricFamily(f"northbound_delivery_{name}", text, labels=LABELS)
            for labels, totals in found:
                counter.add_metric(labels, getattr(totals, name))
            yield counter
        lag = GaugeMetricFamily(
            "northbound_delivery_lag_records",
            "Offsets between what the receiver has and the end of the topics.",
            labels=LABELS,
        )
        connected = GaugeMetricFamily(
            "northbound_delivery_connections", "Receivers connected now.", labels=LABELS
        )
        held = GaugeMetricFamily(
            "northbound_delivery_held_feeds", "Feeds that a pause holds back now.", labels=LABELS
        )
        for each in self._deliveries:
            held.add_metric(_labels(each), len(each.held()))
        yield held
        for labels, totals in found:
            if totals.lag is not None:
                lag.add_metric(labels, totals.lag)
            connected.add_metric(labels, len(list(filter(None, totals.connected.split(", ")))))
        yield lag
        yield connected


def exposition(deliveries: Sequence[Delivery]) -> Callable[[], bytes]:
    """A function that gives the text of /metrics, process figures included."""
    registry = CollectorRegistry()
    registry.register(DeliveryCollector(deliveries))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return lambda: generate_latest(registry)


def _labels(delivery: Delivery) -> list[str]:
    settings = delivery.settings
    return [settings.name, settings.tenant, settings.kind]
