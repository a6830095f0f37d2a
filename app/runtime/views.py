"""What a worker shows on its web port: `/ready`, `/stats` (JSON) and `/metrics` (Prometheus)."""

import os
from typing import Any

from faust.web import View
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from app.runtime.statistics import EngineCollector


class Ready(View):  # type: ignore[misc]
    """200 when every engine has its partitions and stores, 503 until then."""

    view_name = "ready"
    view_path = "/ready"

    async def get(self, request: Any) -> Any:  # noqa: ARG002
        engines = {engine.settings.name: engine.statistics.ready for engine in self.app.engines}
        ready = bool(engines) and all(engines.values())
        return self.json({"ready": ready, "engines": engines}, status=200 if ready else 503)


class Stats(View):  # type: ignore[misc]
    """The statistics of every engine, and the process id."""

    view_name = "stats"
    view_path = "/stats"

    async def get(self, request: Any) -> Any:  # noqa: ARG002
        engines = [engine.statistics.snapshot() for engine in self.app.engines]
        return self.json({"pid": os.getpid(), "engines": engines})


class Metrics(View):  # type: ignore[misc]
    """Prometheus' text format."""

    view_name = "metrics"
    view_path = "/metrics"

    async def get(self, request: Any) -> Any:  # noqa: ARG002
        registry = CollectorRegistry()
        registry.register(EngineCollector(engine.statistics for engine in self.app.engines))
        for each in self.app.collectors:
            registry.register(each)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        return self.bytes(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


VIEWS = (Ready, Stats, Metrics)
