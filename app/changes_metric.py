"""What a worker says in /metrics of changed files that are not in use."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class ChangesCollector(Collector):
    """A Prometheus collector over what is in files now and not in use."""

    def __init__(self, not_in_use: Callable[[], Sequence[str]]) -> None:
        self._not_in_use = not_in_use

    def collect(self) -> Iterable[Metric]:
        """How much it is."""
        found = GaugeMetricFamily(
            "northbound_changes_not_in_use",
            "Changed rules, lists, normalizers and tables that cannot be used, or wait for a "
            "restart.",
        )
        found.add_metric([], len(self._not_in_use()))
        yield found
