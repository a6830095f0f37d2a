"""Sub-topology 2: finals are the same bytes however matches arrive; OCSF accepts every alert."""

import struct

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from schemas import packed
from schemas.codec import decode, encode
from tests.correlate import reference
from topology.alerts import AlertsSubTopology
from topology.correlate import chunks
from topology.keys import group_key, group_of
from topology.rules import Correlation, EventRule, LogSource, Rule, Rules, Tumbling
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

NAMES = Names("p-")
RAW = NAMES.raw("nas")
LATENESS = 10
END = 1_000


def correlation(rule, kind, count, timespan, suppress, operator="gte"):
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
    )


CORRELATIONS = (
    correlation("many", "event_count", 3, 15, 10),
    correlation("spread", "value_count", 2, 12, 20),
    correlation("few", "event_count", 2, 9, 9, "lte"),
)
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
    correlations=CORRELATIONS,
)
DELETES = Tumbling("deletes", {}, ("user",), 100, 200, 5, "Deletes")


def alerts(rules=RULES, aggregates=(DELETES,), tenants=None):
    return AlertsSubTopology(
        rules,
        aggregates,
        NAMES,
        tenants or {"acme": {"nas"}, "zeta": {"nas"}},
        {"nas": LogSource("qumulo", "audit"), "fw": LogSource("asa")},
    )


def driver(partitions=1, workers=1, max_batch=100, make=alerts):
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
    values = orjson.dumps([match[2] for match in matches]) if rule == "spread" else b""
    value = packed.partial(opening, (times, uids, values, evidence), packed.text("nas"))
    return group_key(tenant, rule, group), value


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


@st.composite
def streams(draw):
    """For each of two raw partitions its matches as they arrive: (time, uid, path, user)."""
    streams = []
    for number in range(2):
        times = draw(st.lists(st.integers(0, 70), max_size=14))
        lag = draw(st.lists(st.integers(0, LATENESS), min_size=len(times), max_size=len(times)))
        order = sorted(zip(times, lag, strict=True), key=sum)
        streams.append(
            [
                (
                    time,
                    f"u{number}-{n:02}",
                    draw(st.sampled_from("xyz")),
                    draw(st.sampled_from("ab")),
                )
                for n, (time, _) in enumerate(order)
            ]
        )
    return streams


@st.composite
def runs(draw):
    """How a run goes: partitions of matches, batches, in which turn and cuts, and restarts."""
    return {
        "partitions": draw(st.integers(1, 3)),
        "workers": draw(st.integers(1, 2)),
        "max_batch": draw(st.integers(1, 7)),
        "turns": draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5)), max_size=12)),
        "restarts": draw(st.sets(st.integers(0, 12), max_size=3)),
        "crashes": draw(st.sets(st.integers(0, 12), max_size=2)),
    }


def run(streams, plan):
    """Alerts of a run by tenant and state, after all windows are closed."""
    partitions = plan["partitions"]
    topology = driver(partitions, plan["workers"], plan["max_batch"])
    tell(topology, -(2**63), partitions=partitions)
    left = [list(stream) for stream in streams]
    greatest = [-(2**63)] * 2
    for step, (number, size) in enumerate([*plan["turns"], (0, 100), (1, 100)]):
        batch, left[number] = left[number][:size], left[number][size:]
        for tenant in ("acme", "zeta"):
            for rule in ("many", "spread", "few"):
                for user in "ab":
                    matches = sorted(match for match in batch if match[3] == user)
                    if matches:
                        send(topology, partial(rule, (user,), matches, tenant))
        if batch:
            greatest[number] = max(greatest[number], *(match[0] for match in batch))
            tell(topology, greatest[number] - LATENESS, (number,), partitions)
        if step in plan["crashes"]:
            topology.step_once()
            topology.crash()
        topology.run()
        if step in plan["restarts"]:
            topology.restart()
    tell(topology, END, partitions=partitions)
    topology.run()
    found = {}
    for tenant in ("acme", "zeta"):
        for record in topology.read(NAMES.alerts(tenant)):
            state = orjson.loads(record.value)["unmapped"]["state"]
            found.setdefault((tenant, state), []).append(record)
    assert not [key for key in topology.store("alerts") if not key.startswith(b"\0")]
    assert topology.counts["dead_letters"] == 0
    assert topology.counts["matches_after_close"] == 0
    return found


def finals(found, tenant):
    return sorted((record.key, record.value) for record in found.get((tenant, "final"), ()))


@settings(max_examples=60)
@given(streams(), runs(), runs())
def test_finals_do_not_depend_on_the_run(streams, first, second):
    """Any cuts, interleaving, partitions, workers, restarts: byte-identical finals, each once."""
    one, other = run(streams, first), run(streams, second)
    for tenant in ("acme", "zeta"):
        assert finals(one, tenant) == finals(other, tenant)
    for found in (one, other):
        for tenant in ("acme", "zeta"):
            said = {record.key for record in found.get((tenant, "provisional"), ())}
            fallen = {record.key for record in found.get((tenant, "superseded"), ())}
            final = {key for key, _ in finals(found, tenant)}
            assert len(final) == len(finals(found, tenant))
            assert fallen <= said - final
            assert said <= final | fallen
    expected = []
    for entry in CORRELATIONS:
        for user in "ab":
            matches = [
                (time, uid, path if entry.rule.id == "spread" else None)
                for stream in streams
                for time, uid, path, who in stream
                if who == user
            ]
            for time, _, begin, end, uids, _ in reference.finals(matches, entry):
                expected.append((entry.rule.id, user, time, begin, end, uids))
    assert sorted(expected) == sorted(
        (
            alert["unmapped"]["rule"]["id"],
            alert["unmapped"]["group"]["user"],
            alert["time"],
            alert["start_time"],
            alert["end_time"],
            tuple(event["uid"] for event in alert["finding_info"]["related_events"]),
        )
        for alert in (orjson.loads(value) for _, value in finals(one, "acme"))
    )


def test_life_of_an_alert():
    """Said at once, final when the watermark passes the mute time, then forgotten."""
    topology = driver()
    send(topology, partial("many", ("a",), [(0, "u0", None), (1, "u1", None), (2, "u2", None)]))
    topology.run()
    assert states(topology) == ["provisional"]
    send(topology, partial("many", ("a",), [(12, "u3", None)]))
    tell(topology, 12)
    topology.run()
    assert states(topology) == ["provisional"]
    tell(topology, 13)
    topology.run()
    provisional, final = read(topology)
    assert provisional["finding_info"]["uid"] == final["finding_info"]["uid"]
    assert provisional["metadata"]["uid"] != final["metadata"]["uid"]
    assert (provisional["count"], final["count"]) == (3, 4)
    assert (final["time"], final["start_time"], final["end_time"]) == (2, 0, 12)
    tell(topology, 100)
    topology.run()
    assert not [key for key in topology.store("alerts") if not key.startswith(b"\0")]


def test_waits_for_every_partition_of_its_sources():
    """An announced raw partition holds windows back; a source of no concern does not."""
    topology = driver()
    tell(topology, -(2**63))
    send(topology, partial("many", ("a",), [(n, f"u{n}", None) for n in range(3)]))
    tell(topology, END, numbers=[0])
    topology.pipe(
        NAMES.matches, watermark(0, 0, NAMES.raw("fw")), timestamp=0, key=b"", partition=0
    )
    topology.run()
    assert states(topology) == ["provisional"]
    tell(topology, END, numbers=[1])
    topology.run()
    assert states(topology) == ["provisional", "final"]


def test_single_events_are_final_at_once():
    """A rule on single events gives one alert a match, with its evidence."""
    topology = driver()
    evidence = orjson.dumps([{"user": "AD\\a", "path": "/x"}, {"user": "b"}])
    send(topology, partial("tree", (), [(5, "u1", None), (6, "u2", None)], evidence=evidence))
    topology.run()
    first, second = read(topology)
    assert states(topology) == ["final", "final"]
    assert first["evidences"] == [{"data": {"user": "AD\\a", "path": "/x"}}]
    assert (second["time"], second["count"]) == (6, 1)
    assert first["finding_info"]["uid"] != second["finding_info"]["uid"]


def test_windows_count_once_to_their_alert():
    """A tumbling window alerts when its count is reached, and goes when its grace is over."""
    topology = driver()
    for number in (2, 2):
        send(topology, tally(("a",), [(0, number), (100, 1)]))
    send(topology, tally(("b",), [(0, 3)]))
    topology.run()
    assert read(topology) == []
    topology.restart()
    send(topology, tally(("a",), [(0, 2)]))
    send(topology, tally(("a",), [(0, 2)]))
    topology.run()
    (alert,) = read(topology)
    assert (alert["count"], alert["start_time"], alert["end_time"]) == (5, 0, 100)
    assert alert["unmapped"]["group"] == {"user": "a"}
    tell(topology, 300)
    topology.run()
    assert [group_of(key[:-9]) for key in topology.store("alerts") if key[:1] != b"\0"] == [
        ("acme", "deletes", ("a",))
    ]
    send(topology, tally(("a",), [(0, 9)]))
    topology.run()
    assert len(read(topology)) == 1
    assert topology.counts["matches_after_close"] == 1


def test_links_a_thousand_and_counts_the_rest():
    """Past a thousand events a finding counts."""
    topology = driver()
    matches = [(5, f"u{n:05}", None) for n in range(2_500)]
    send(topology, partial("many", ("a",), matches))
    tell(topology, END)
    topology.run()
    final = read(topology)[-1]
    assert final["count"] == 2_500
    assert [event["uid"] for event in final["finding_info"]["related_events"]] == [
        match[1] for match in matches[:1_000]
    ]


def test_rules_and_tenants_that_are_gone_leave_nothing():
    """A store's entries go with the rule or tenant that they are of."""
    configured = {"rules": RULES, "tenants": {"acme": {"nas"}, "zeta": {"nas"}}}
    topology = driver(make=lambda: alerts(configured["rules"], tenants=configured["tenants"]))
    for tenant in ("acme", "zeta"):
        send(topology, partial("many", ("a",), [(0, "u0", None)], tenant))
        send(topology, partial("few", ("a",), [(0, "u0", None)], tenant))
        send(topology, tally(("a",), [(0, 1)], tenant))
    topology.run()
    configured["rules"] = Rules(RULES.events, CORRELATIONS[1:])
    configured["tenants"] = {"zeta": {"nas"}}
    topology.restart()
    send(topology, partial("many", ("a",), [(0, "u1", None)], "zeta"))
    topology.run()
    left = {group_of(key[:-9])[:2] for key in topology.store("alerts")}
    assert left == {("zeta", "few"), ("zeta", "deletes")}
    assert topology.counts["matches_of_unknown_rule"] == 1


def test_unreadable_records_become_dead_letters():
    """What is no record of ours is kept, and the rest of the batch goes on."""
    topology = driver()
    topology.pipe(NAMES.matches, b"nonsense", timestamp=7, key=b"k")
    send(topology, partial("many", ("a",), [(n, f"u{n}", None) for n in range(3)]))
    topology.run()
    assert states(topology) == ["provisional"]
    (letter,) = topology.read(NAMES.dead_letters)
    name, content = decode(letter.value)
    assert (name, content["raw"], content["timestamp"]) == ("DeadLetter", b"nonsense", 7)


@pytest.fixture(scope="module")
def validator():
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.6.0"))
    return jsonschema.Draft202012Validator(schema.get_class_schema("detection_finding"))


def test_alerts_are_detection_findings(validator):
    """Every state and kind of alert is a valid OCSF 1.6.0 Detection Finding."""
    topology = driver()
    send(topology, partial("many", ("a",), [(20 + n, f"u{n}", None) for n in range(3)]))
    send(topology, partial("spread", ("a",), [(n, f"u{n}", f"/{n}") for n in range(3)]))
    topology.run()
    send(topology, partial("many", ("a",), [(19, "u9", None)]))
    send(topology, partial("tree", (), [(1, "u1", None)], evidence=b'[{"user":"a"}]'))
    send(topology, tally(("a",), [(0, 5)]))
    tell(topology, END)
    topology.run()
    found = read(topology)
    assert {alert["unmapped"]["state"] for alert in found} == {
        "provisional",
        "final",
        "superseded",
    }
    assert {alert["finding_info"]["types"][0] for alert in found} == {
        "event",
        "event_count",
        "value_count",
        "tumbling",
    }
    for alert in found:
        errors = [error.message for error in validator.iter_errors(alert)]
        assert errors == [], orjson.dumps(alert)


def test_chunks_read_back():
    """What a chunk keeps of matches is what it gives back."""
    matches = [(1, "u1", ("a", "b")), (2, "u2", ("é\n", ""))]
    assert list(chunks.read(chunks.VERSION + chunks.pack(matches))) == [matches]
