"""Sub-topology 2: the life of alerts and windows; OCSF accepts every alert."""

from dataclasses import replace

import jsonschema
import orjson
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from schemas.codec import decode
from tests.correlate.deployment import (
    CHAINED,
    CORRELATIONS,
    END,
    NAMES,
    RAW,
    RULES,
    alerts,
    driver,
    partial,
    read,
    send,
    states,
    tally,
    tell,
    watermark,
)
from topology.correlate import chunks
from topology.keys import group_of
from topology.rules import Chained, Rules


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


def test_what_is_judged_when_a_window_closes_is_said_once():
    """So its only state is the first, which responses to new alerts wait for."""
    topology = driver()
    send(topology, partial("few", ("a",), [(0, "u0", None)]))
    tell(topology, END)
    topology.run()
    (alert,) = [each for each in read(topology) if "few" in each["finding_info"]["title"]]
    assert (alert["unmapped"]["state"], alert["activity_name"]) == ("final", "Create")


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


def test_nothing_waits_for_partitions_of_a_topic_that_was_made_anew():
    """A raw topic with fewer partitions, or one that got no record since, would hold windows back
    for ever: a take-over forgets partitions without records."""
    filled = {(RAW, 0), (RAW, 1)}
    topology = driver(make=lambda: alerts(filled=lambda: filled))
    tell(topology, 5)
    send(topology, partial("many", ("a",), [(n, f"u{n}", None) for n in range(5, 8)]))
    topology.run()
    topology.restart()
    tell(topology, END, numbers=[0])
    topology.run()
    assert states(topology) == ["provisional"]
    filled.remove((RAW, 1))
    topology.restart()
    tell(topology, END + 1, numbers=[0])
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


def test_a_rule_may_become_one_with_more_groups():
    """What was counted by fewer fields is told; rules that count its alerts ask for the new ones,
    which such an alert has not, and go on with the next."""
    inner = next(entry for entry in CORRELATIONS if entry.rule.id == "many")
    outer = next(entry for entry in CHAINED if entry.rule.id == "again")
    configured = {"rules": Rules(RULES.events, (inner, outer))}
    topology = driver(make=lambda: alerts(configured["rules"]))
    matches = [(time, f"u{time}", None) for time in (0, 1, 2)]
    send(topology, partial("many", ("a",), matches))
    send(topology, partial("many", ("b",), matches))
    topology.run()
    fields = {
        "group_by": ("host", "user"),
        "group_columns": ((("host",), ("user",)),),
    }
    grown = replace(inner, **fields)
    counting = replace(outer, chained=(Chained("many", (1,), ()),))
    configured["rules"] = Rules(RULES.events, (grown, counting))
    topology.restart()
    tell(topology, END)
    topology.run()
    assert topology.counts["dead_letters"] == 0
    assert states(topology) == ["provisional"] * 2 + ["final"] * 2


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
