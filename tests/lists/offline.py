"""Rules over a frame of events, through both sub-topologies' parts for lists, without raw lines."""

import numpy as np
import orjson

from schemas.codec import encode
from topology.matching import Matching, outputs
from topology.pipeline import alerts
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

NAMES = Names()
NEVER = -(2**63)


class Offline:
    """`take` frames with `time` and `metadata.uid`; then `advance` and look at what came."""

    def __init__(self, rules, tenants=("acme",), mask=None, sources=(("s", None),)):
        """`sources`: names and log sources; events are those of `s`."""
        received = frozenset(name for name, _ in sources)
        self.plan = Plan(
            names=NAMES,
            sources={name: SourcePlan(name, "json", logsource) for name, logsource in sources},
            tenants={name: TenantPlan(name, received, mask=mask) for name in tenants},
            origins={},
            rules=rules,
            matches_partitions=1,
        )
        self.driver = TopologyTestDriver([Step(lambda: alerts(self.plan), [NAMES.matches])])
        self.matching = Matching(self.plan)

    def take(self, events, tenants=None):
        """Let rules meet events on behalf of tenants, unless given of all."""
        plans = [self.plan.tenants[name] for name in tenants or self.plan.tenants]
        marks = np.full(events.height, NEVER)
        for records in self.matching.match(self.plan.sources["s"], events, marks, plans):
            for output in outputs(NAMES.matches, records):
                for key, value in zip(output.keys, output.values, strict=True):
                    self.send(key, value)

    def send(self, key, value):
        """A record of `matches`."""
        self.driver.pipe(NAMES.matches, value, timestamp=0, key=key)

    def advance(self, time):
        """Let event time be complete up to a time."""
        mark = {"topic": NAMES.raw("s"), "partition": 0, "watermark": time}
        self.send(b"", encode("Watermark", mark))
        self.driver.run()

    def alerts(self, tenant="acme"):
        """What was said to a tenant, after all that is open was decided."""
        self.advance(2**62)
        return [orjson.loads(each.value) for each in self.driver.read(NAMES.alerts(tenant))]

    def titles(self, tenant="acme"):
        """The titles of those."""
        return [alert["finding_info"]["title"] for alert in self.alerts(tenant)]
