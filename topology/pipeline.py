"""The data flow, top to bottom. Each node is a sub-topology: one engine, group and transaction.

raw.<source> ─► events ─┬─► northbound.<tenant>.events
                        ├─► dead-letters
                        └─► matches ─► alerts ─► northbound.<tenant>.alerts
"""

from collections.abc import Callable
from dataclasses import dataclass

from topology.alerts import AlertsSubTopology
from topology.events import EventsSubTopology
from topology.plan import Plan
from topology.records import SubTopology


@dataclass(frozen=True, slots=True)
class Node:
    """One sub-topology: what it reads and writes, and what happens in between, in order."""

    name: str
    reads: tuple[str, ...]
    stages: tuple[str, ...]
    stores: tuple[str, ...]
    writes: tuple[str, ...]
    build: Callable[[Plan], SubTopology]
    topics: Callable[[Plan], list[str]]
    """Physical names of what it reads."""


def _raw(plan: Plan) -> list[str]:
    return [plan.names.raw(source) for source in plan.sources]


def _matches(plan: Plan) -> list[str]:
    return [plan.names.matches]


def alerts(plan: Plan) -> AlertsSubTopology:
    """Sub-topology 2 of a plan."""
    return AlertsSubTopology(
        plan.rules.rules,
        plan.aggregates,
        plan.names,
        {name: tenant.sources for name, tenant in plan.tenants.items() if tenant.alerts},
        {name: source.logsource for name, source in plan.sources.items()},
    )


PIPELINE: tuple[Node, ...] = (
    Node(
        name="events",
        reads=("raw.<source>",),
        stages=("parse", "normalize", "enrich", "match", "encode"),
        stores=(),
        writes=("northbound.<tenant>.events", "matches", "dead-letters"),
        build=EventsSubTopology,
        topics=_raw,
    ),
    Node(
        name="alerts",
        reads=("matches",),
        stages=("aggregate", "correlate", "encode"),
        stores=("alerts",),
        writes=("northbound.<tenant>.alerts",),
        build=alerts,
        topics=_matches,
    ),
)
