"""A small deployment for the topology test driver: one source, two tenants, the shipped rules."""

import datetime as dt
from functools import partial
from pathlib import Path

from app.rules import load_rules
from topology.pipeline import pipeline
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

RULES = Path(__file__).parents[2] / "rules" / "qumulo"
START = 1_790_000_000_000
RAW = "raw.q"


NORMALIZED = "normalized.q"


SOURCE = SourcePlan("q", "qumulo", LogSource("qumulo", "audit", None))


def plan(
    matches_partitions: int = 1,
    expose: frozenset[str] = frozenset(),
    source: SourcePlan = SOURCE,
) -> Plan:
    """Both tenants receive the source; `other` alerts only."""
    return Plan(
        names=Names(),
        sources={"q": source},
        tenants={
            "acme": TenantPlan("acme", frozenset({"q"})),
            "other": TenantPlan("other", frozenset({"q"}), events=False),
        },
        origins={RAW: "AAAAAAAAAAA"},
        rules=load_rules([RULES]),
        matches_partitions=matches_partitions,
        expose=expose,
    )


def steps(chosen: Plan) -> list[Step]:
    """The whole topology in the placement that the plan wants."""
    return [
        Step(partial(node.build, chosen), node.topics(chosen)) for node in pipeline(chosen.expose)
    ]


def driver(
    *,
    raw: int = 1,
    matches: int = 1,
    workers: int = 1,
    max_batch: int = 1_000,
    commit_every: int = 1,
    expose: frozenset[str] = frozenset(),
    source: SourcePlan = SOURCE,
) -> TopologyTestDriver:
    """The whole topology on that plan."""
    chosen = plan(matches, expose, source)
    return TopologyTestDriver(
        steps(chosen),
        partitions={RAW: raw, NORMALIZED: raw, "matches": matches},
        workers=workers,
        max_batch=max_batch,
        commit_every=commit_every,
    )


def line(time: int, user: str, operation: str = "fs_delete", path: str = "/data/a.txt") -> bytes:
    """A Qumulo line as a cluster sends it. `time` in ms."""
    stamp = dt.datetime.fromtimestamp(time / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (
        f'<14>1 {stamp} nas-1 qumulo - - - 10.0.0.7,"{user}",smb2,{operation},ok,7,"{path}",""'
    ).encode()
