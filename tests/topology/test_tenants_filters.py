"""Filters of tenants: each has what it chose, and every record still has exactly one outcome."""

import json
from dataclasses import replace

import pytest

from tests.topology.deployment import NORMALIZED, RAW, START, line, plan, steps
from topology.filters import Filter, Filters
from topology.mask import Mask
from topology.plan import TenantPlan
from topology.testing import TopologyTestDriver

READS = Filter("reads", keep=False, detection={"a": {"metadata.event_code": "fs_read_data"}})
EVE = Filter("eve", keep=True, detection={"a": {"actor.user.name|startswith": "eve"}})
Q = frozenset({"q"})
TENANTS = {
    "all": TenantPlan("all", Q),
    "writes": TenantPlan("writes", Q, filters=Filters([READS])),
    "same": TenantPlan("same", Q, filters=Filters([READS])),
    "eves": TenantPlan(
        "eves", Q, filters=Filters([READS, EVE]), mask=Mask({"actor.user.name": "hash"}, b"k")
    ),
    "none": TenantPlan(
        "none", Q, filters=Filters([Filter("x", keep=True, detection={"a": {"time": 0}})])
    ),
}


@pytest.mark.parametrize("expose", [frozenset(), frozenset({"normalized"})], ids=["fused", "split"])
def test_a_tenant_has_what_it_chose(expose: frozenset[str]) -> None:
    """Dropped events are counted by filter and tenant, in any cut; records balance as without
    filters; other tenants and all alerts are the same."""
    chosen = replace(plan(expose=expose), tenants=TENANTS)
    driver = TopologyTestDriver(
        steps(chosen), partitions={RAW: 1, NORMALIZED: 1, "matches": 1}, max_batch=7
    )
    number = 0
    for _ in range(110):
        for user, operation in (
            ("evelyn", "fs_delete"),
            ("evelyn", "fs_read_data"),
            ("bob", "fs_delete"),
            ("bob", "fs_read_data"),
        ):
            text = line(START + number, user, operation, f"/data/{number}.readme")
            driver.pipe(RAW, text, timestamp=START + number)
            number += 1
    driver.pipe(RAW, b"no audit line", timestamp=START + number)
    driver.advance_wall_clock(START + 3_600_000)
    driver.run()
    counts = driver.counts
    assert counts["records"] == number + 1 == counts["events"] + counts["dead_letters"] == 441
    assert "filtered" not in counts
    feeds = {name: driver.read(chosen.names.events(name)) for name in TENANTS}
    assert {name: len(found) for name, found in feeds.items()} == {
        "all": 440,
        "writes": 220,
        "same": 220,
        "eves": 110,
        "none": 0,
    }
    assert {name: count for name, count in counts.items() if name.startswith("feed.")} == {
        "feed.writes.reads": 220,
        "feed.same.reads": 220,
        "feed.eves.reads": 220,
        "feed.eves.eve": 110,
        "feed.none.x": 440,
    }
    assert feeds["writes"] == feeds["same"]
    assert [each for each in feeds["all"] if b"fs_read_data" not in each.value] == feeds["writes"]
    assert not any(b"evelyn" in (each.value or b"") for each in feeds["eves"])
    alerts = {
        name: [
            (alert["count"], alert["time"], alert["finding_info"]["title"])
            for each in driver.read(chosen.names.alerts(name))
            if (alert := json.loads(each.value or b""))
        ]
        for name in TENANTS
    }
    assert alerts["all"]
    assert all(found == alerts["all"] for found in alerts.values())
