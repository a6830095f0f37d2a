"""Rules, records and a driver for tests of sub-topology 2."""

import struct
from functools import partial as partial_of

import orjson

from schemas import packed
from schemas.codec import encode
from topology.alerts import AlertsSubTopology
from topology.keys import group_key
from topology.rules import Chained, Correlation, EventRule, LogSource, Rule, Rules, Tumbling
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

NAMES = Names("p-")
RAW = NAMES.raw("nas")
LATENESS = 10
END = 1_000


def correlation(rule, kind, count, timespan, suppress, operator="gte", steps=(), absent=(), **more):
    return Correlation(
        rule=Rule(rule, f"Title of {rule}", "high", author="Somebody", tags=("attack.t1486",)),
        type=kind,
        members=(0,),
        group_by=("user",),
        group_columns=((("user",),),),
        value_columns=((("path",),) if kind == "value_count" else (),),
        timespan_ms=timespan,
        suppress_ms=suppress,
        operator=operator,
        count=count,
        steps=steps,
        absent=absent,
        **more,
    )


CORRELATIONS = (
    correlation("many", "event_count", 3, 15, 10),
    correlation("spread", "value_count", 2, 12, 20),
    correlation("few", "event_count", 2, 9, 9, "lte"),
    correlation("both", "temporal", 2, 12, 12, steps=("x", "y")),
    correlation("chain", "temporal_ordered", 3, 20, 8, steps=("x", "y", "x")),
    correlation("new", "event_count", 1, 20, 0, first_seen=True, since=5),
    correlation("unanswered", "event_count", 1, 14, 20, steps=("x", "y"), absent=("y",)),
)
CHAINED = (
    correlation("again", "event_count", 2, 60, 5, chained=(Chained("many", (0,), ()),)),
    correlation("rare", "event_count", 1, 30, 30, "lte", chained=(Chained("few", (0,), ()),)),
    correlation("top", "event_count", 1, 9, 9, chained=(Chained("again", (0,), ()),)),
)
"""Rules that count the alerts of others."""
VALUED = ("spread", "both", "chain", "unanswered")
"""Rules that count something of a match: its path, which stands for the rule it is of too."""
TREE = Rule(
    "tree",
    "Tree deleted",
    "critical",
    description="One event removes everything below a folder.",
    references=("https://example.com/",),
    tags=("attack.impact", "attack.t1485", "attack.t1562.002"),
)
RULES = Rules(
    events=(
        EventRule(Rule("base", "Base", "low"), LogSource("qumulo"), (), alerts=False),
        EventRule(TREE, LogSource("qumulo"), ()),
    ),
    correlations=(*CORRELATIONS, *CHAINED),
)
DELETES = Tumbling("deletes", {}, ("user",), 100, 200, 5, "Deletes")


def alerts(rules=RULES, aggregates=(DELETES,), tenants=None, **options):
    return AlertsSubTopology(
        rules,
        aggregates,
        NAMES,
        tenants or {"acme": {"nas"}, "zeta": {"nas"}},
        {"nas": LogSource("qumulo", "audit"), "fw": LogSource("asa")},
        **options,
    )


def driver(partitions=1, workers=1, max_batch=100, make=alerts):
    """`make` is asked for the sub-topology of so many partitions if there are several."""
    if partitions > 1:
        make = partial_of(make, partitions=partitions)
    return TopologyTestDriver(
        [Step(make, [NAMES.matches])],
        partitions={NAMES.matches: partitions},
        workers=workers,
        max_batch=max_batch,
    )


def watermark(number, mark, topic=RAW):
    return encode("Watermark", {"topic": topic, "partition": number, "watermark": mark})


def tell(topology, mark, numbers=(0, 1), partitions=1):
    """Send watermarks of raw partitions to every partition of matches, as sub-topology 1 does."""
    for number in numbers:
        for partition in range(partitions):
            topology.pipe(
                NAMES.matches, watermark(number, mark), timestamp=0, key=b"", partition=partition
            )


def partial(rule, group, matches, tenant="acme", evidence=b""):
    opening = packed.head("Partial", tenant, rule, group)
    times = struct.pack(f"<{len(matches)}q", *[match[0] for match in matches])
    uids = "\n".join(match[1] for match in matches).encode()
    values = orjson.dumps([match[2] for match in matches]) if rule in VALUED else b""
    value = packed.partial(opening, (times, uids, values, evidence), packed.text("nas"))
    return group_key(tenant, rule, group), value


def partial_batch(rule, groups, tenant="acme"):
    """A PartialBatch of some groups (user → matches)."""
    sizes, endings, times, uids, values = [], [], [], [], []
    for user, matches in groups.items():
        endings.append(f"\0{user}".encode())
        times += [match[0] for match in matches]
        uids += [match[1] for match in matches]
        counted = orjson.dumps([match[2] for match in matches]) if rule in VALUED else b""
        values.append(counted)
        length = len("\n".join(match[1] for match in matches))
        sizes += [len(endings[-1]), len(matches), length, len(counted)]
    members = (
        struct.pack(f"<{len(sizes)}I", *sizes),
        b"".join(endings),
        struct.pack(f"<{len(times)}q", *times),
        "\n".join(uids).encode(),
        b"".join(values),
    )
    return packed.partial_batch(tenant, rule, packed.text("nas"), members)


def tally(group, pairs, tenant="acme"):
    opening = packed.head("Tally", tenant, "deletes", group)
    numbers = [number for pair in pairs for number in pair]
    windows = struct.pack(f"<{len(numbers)}q", *numbers)
    key = group_key(tenant, "deletes", group)
    return key, packed.tally(opening, windows, packed.text("nas"))


def send(topology, record):
    topology.pipe(NAMES.matches, record[1], timestamp=0, key=record[0])


def read(topology, tenant="acme"):
    return [orjson.loads(record.value) for record in topology.read(NAMES.alerts(tenant))]


def states(topology, tenant="acme"):
    return [alert["unmapped"]["state"] for alert in read(topology, tenant)]
