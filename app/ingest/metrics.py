"""Ledgers as Prometheus metrics, computed when they are asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.ingest.ledger import Ledger

LABELS = ("protocol", "source", "listener")
COUNTERS = {
    "received": "Messages received, by framing.",
    "bytes": "Bytes received.",
    "recovered": "Messages that were in the spool when the listener started.",
    "published": "Messages acknowledged by all in-sync replicas.",
    "dropped": "Messages lost because Kafka was away and the spool full.",
    "kernel_drops": "Datagrams that the kernel dropped before they were received.",
    "empty": "Lines without content, which are no messages.",
    "oversize": "Messages longer than max_line.",
    "dropped_bytes": "Bytes cut from messages longer than max_line.",
    "malformed": "Frames with a wrong or unfulfilled count of octets.",
    "incomplete": "Messages that a sender left unfinished; their bytes are in the raw topic.",
    "connections_total": "Connections accepted.",
    "connections_refused": "Connections ended by the agent because the sender broke a protocol.",
    "pauses": "Times that senders were held back because Kafka did not keep up.",
    "retried": "Messages sent to Kafka again after a failure.",
}
GAUGES = {
    "connections": "Open connections; files that are followed.",
    "in_flight": "Messages received and not yet acknowledged by Kafka.",
    "spooled": "Messages that wait on disk for Kafka.",
    "spooled_bytes": "Bytes of the spool on disk.",
}
BY_REASON = {
    "refused": "Messages Kafka does not take.",
    "faults": "Connections ended because the sender broke a protocol, requests refused, files "
    "emptied, by kind.",
}


class LedgerCollector(Collector):
    """Families `northbound_ingest_*` with a sample for each listener."""

    def __init__(
        self,
        ledgers: Callable[[], Sequence[Ledger]],
        ticks: Callable[[], int],
        reports: Callable[[], Mapping[tuple[str, str], int]],
    ) -> None:
        self._ledgers = ledgers
        self._ticks = ticks
        self._reports = reports

    def collect(self) -> Iterable[Metric]:
        """All families as of now."""
        ledgers = self._ledgers()
        for name, text in COUNTERS.items():
            stem = f"northbound_ingest_{name.removesuffix('_total')}"
            counter = CounterMetricFamily(stem, text, labels=LABELS)
            for each in ledgers:
                counter.add_metric(_labels(each), getattr(each, name))
            yield counter
        for name, text in GAUGES.items():
            gauge = GaugeMetricFamily(f"northbound_ingest_{name}", text, labels=LABELS)
            for each in ledgers:
                gauge.add_metric(_labels(each), getattr(each, name))
            yield gauge
        for name, text in BY_REASON.items():
            family = CounterMetricFamily(
                f"northbound_ingest_{name}", text, labels=(*LABELS, "reason")
            )
            for each in ledgers:
                for reason, count in getattr(each, name).items():
                    family.add_metric([*_labels(each), reason], count)
            yield family
        latency = SummaryMetricFamily(
            "northbound_ingest_ack_latency_seconds",
            "From taking messages to their acknowledgement by Kafka (RELP, connectors).",
            labels=LABELS,
        )
        for each in ledgers:
            if each.acknowledgements:
                latency.add_metric(_labels(each), each.acknowledgements, each.acknowledgement_s)
        yield latency
        reports = CounterMetricFamily(
            "northbound_ingest_source_reports",
            "Sources that fell silent or far below their usual rate, and that came back.",
            labels=("source", "kind"),
        )
        for (source, kind), count in self._reports().items():
            reports.add_metric([source, kind], count)
        yield reports
        yield CounterMetricFamily(
            "northbound_ingest_ticks", "Ticks put on quiet raw partitions.", value=self._ticks()
        )


def exposition(
    ledgers: Callable[[], Sequence[Ledger]],
    ticks: Callable[[], int],
    reports: Callable[[], Mapping[tuple[str, str], int]],
) -> Callable[[], bytes]:
    """A function that gives the text of /metrics, process figures included."""
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledgers, ticks, reports))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return lambda: generate_latest(registry)


def _labels(ledger: Ledger) -> list[str]:
    return [ledger.protocol, ledger.source, ledger.address]
