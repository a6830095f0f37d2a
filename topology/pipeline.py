"""The data flow, top to bottom. Each node is a sub-topology: one engine, group and transaction.

raw.<source> ─► events ─┬─► northbound.<tenant>.events
                        ├─► dead-letters
                        └─► matches ─► alerts ─┬─► northbound.<tenant>.alerts
                                               └─► matches, for correlations that count alerts

`expose: [normalized]` makes the boundary before enrich a topic, with equal results:

raw.<source> ─► normalize ─┬─► normalized.<source> ─► events ─► as above
                           └─► dead-letters
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from topology.alerts import AlertsSubTopology
from topology.events import EventsSubTopology
from topology.normalization import NormalizeSubTopology
from topology.northbound.findings import Form
from topology.plan import Plan
from topology.records import SubTopology
from topology.topics import Partition, StoreTopic


@dataclass(frozen=True, slots=True)
class Node:
    """One sub-topology: what it reads and writes, and what happens in between, in order."""

    name: str
    reads: tuple[str, ...]
    stages: tuple[str, ...]
    stores: Callable[[Plan], tuple[StoreTopic, ...]]
    """Its state stores; each has as many partitions as what it reads of a source, or `matches`."""
    writes: tuple[str, ...]
    build: Callable[[Plan], SubTopology]
    topics: Callable[[Plan], list[str]]
    """Physical names of what it reads."""
    group: str
    """Names its consumer group. What reads raw topics is `events` in every placement, so that
    another placement goes on where the last one stopped."""


def _raw(plan: Plan) -> list[str]:
    return [plan.names.raw(source) for source in plan.sources]


def _normalized(plan: Plan) -> list[str]:
    return [plan.names.normalized(source) for source in plan.sources]


def _matches(plan: Plan) -> list[str]:
    return [plan.names.matches]


def _stateless(plan: Plan) -> tuple[StoreTopic, ...]:  # noqa: ARG001
    return ()


def _aggregated(plan: Plan) -> tuple[StoreTopic, ...]:
    """A store of each source that has aggregations."""
    return tuple(StoreTopic(store, source) for source, store in plan.aggregating.items())


def _alerts(plan: Plan) -> tuple[StoreTopic, ...]:
    lists = (StoreTopic("lists"),) if plan.rules.rules.lists else ()
    return (StoreTopic("alerts"), *lists)


def alerts(
    plan: Plan, filled: Callable[[], Collection[Partition] | None] = lambda: None
) -> AlertsSubTopology:
    """Sub-topology 2 of a plan. `filled`: raw partitions that hold records, None if unknown."""
    return AlertsSubTopology(
        plan.rules.rules,
        plan.aggregates,
        plan.names,
        {name: tenant.sources for name, tenant in plan.tenants.items() if tenant.alerts},
        {name: source.logsource for name, source in plan.sources.items()},
        formats={
            name: Form(tenant.format, tenant.schema_ids.get("alerts"))
            for name, tenant in plan.tenants.items()
        },
        partitions=plan.matches_partitions,
        shared_records=plan.shared_records,
        masked={name for name, tenant in plan.tenants.items() if tenant.mask is not None},
        filled=filled,
    )


FUSED = (
    Node(
        name="events",
        reads=("raw.<source>",),
        stages=("parse", "normalize", "mutate", "filter", "enrich", "aggregate", "match", "encode"),
        stores=_aggregated,
        writes=("northbound.<tenant>.events", "matches", "dead-letters"),
        build=EventsSubTopology,
        topics=_raw,
        group="events",
    ),
)
SPLIT = (
    Node(
        name="normalize",
        reads=("raw.<source>",),
        stages=("parse", "normalize", "mutate", "filter"),
        stores=_stateless,
        writes=("normalized.<source>", "dead-letters"),
        build=NormalizeSubTopology,
        topics=_raw,
        group="events",
    ),
    Node(
        name="events",
        reads=("normalized.<source>",),
        stages=("enrich", "aggregate", "match", "encode"),
        stores=_aggregated,
        writes=("northbound.<tenant>.events", "matches", "dead-letters"),
        build=EventsSubTopology,
        topics=_normalized,
        group="normalized",
    ),
)
ALERTS = Node(
    name="alerts",
    reads=("matches",),
    stages=("aggregate", "correlate", "encode"),
    stores=_alerts,
    writes=("northbound.<tenant>.alerts", "matches"),
    build=alerts,
    topics=_matches,
    group="alerts",
)


def pipeline(expose: Collection[str] = ()) -> tuple[Node, ...]:
    """The nodes in flow order, with the boundaries in `expose` as topics between them."""
    return (*(SPLIT if "normalized" in expose else FUSED), ALERTS)
