"""Where a worker's live look-ups run, and what it says of them in /metrics."""

import asyncio
import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.live_lookups import REQUESTS, RESULTS, Resolver
from topology.enrich.looked_up import LookedUp

log = logging.getLogger(__name__)


class Background:
    """The thread in which resolvers ask. It ends with the process, or by `stop`."""

    def __init__(self, resolvers: Sequence[Resolver]) -> None:
        self.resolvers = tuple(resolvers)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="live-lookups", daemon=True)
        self._task: asyncio.Task[Any] | None = None
        self._ready = threading.Event()

    def start(self) -> None:
        """Begin to ask; returns when look-ups are taken."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End all requests and the thread."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._all())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception:
            log.exception("Live look-ups ended; events go on without their answers.")
        finally:
            self._ready.set()
            self._loop.close()

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for resolver in self.resolvers:
                group.create_task(resolver.run())
            # Tasks begin in order, so those above have begun when this one goes on.
            await asyncio.sleep(0)
            self._ready.set()


def resolvers_of(enrichers: Iterable[object]) -> list[Resolver]:
    """The resolvers that enrichments ask."""
    found = (each.answers for each in enrichers if isinstance(each, LookedUp))
    return [each for each in found if isinstance(each, Resolver)]


class LookupCollector(Collector):
    """A Prometheus collector over resolvers."""

    def __init__(self, resolvers: Iterable[Resolver]) -> None:
        self._resolvers = list(resolvers)

    def collect(self) -> Iterable[Metric]:
        """Counts by enrichment."""
        results = CounterMetricFamily(
            "northbound_lookups",
            "Distinct values of batches, by what was known of them.",
            labels=["enrichment", "result"],
        )
        requests = CounterMetricFamily(
            "northbound_lookup_requests",
            "Requests that look-ups sent, and those that got no answer.",
            labels=["enrichment", "outcome"],
        )
        size = GaugeMetricFamily(
            "northbound_lookup_values",
            "Values in the cache, and in the queue.",
            labels=["enrichment", "place"],
        )
        for resolver in self._resolvers:
            for family, names in ((results, RESULTS), (requests, REQUESTS)):
                for name in names:
                    family.add_metric([resolver.name, name], resolver.counts[name])
            for place, count in zip(("cache", "queue"), resolver.size(), strict=True):
                size.add_metric([resolver.name, place], count)
        yield from (results, requests, size)
