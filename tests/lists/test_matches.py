"""What passed a list's test goes on as any match: to correlations of every kind, and masked."""

import polars as pl
import pytest

from tests.lists.offline import NAMES, Offline
from topology.lists import ActiveList
from topology.mask import Mask
from topology.match.compile import compile_rules
from topology.pipeline import alerts as built
from topology.rules import LogSource

LISTS = {
    "watched": ActiveList("watched", ("user",)),
    "after": ActiveList("after", ("host",), 1_000),
}
RULES = """\
title: Adds
name: adds
logsource: {product: test}
detection: {sel: {kind: add}, condition: sel}
northbound:
  lists: [{add: watched}]
---
title: Asks
name: asks
logsource: {product: test}
detection: {sel: {kind: ask}, condition: sel}
northbound:
  lists: [{in: watched}, {add: after, ttl: 50s}]
---
title: Other
name: other
logsource: {product: test}
detection: {sel: {kind: other}, condition: sel}
"""
ASK = [(10, "ask", "eve"), (20, "ask", "bob"), (30, "ask", "eve"), (35, "other", "eve")]


def events(*entries):
    """Frame of (time, kind, user); each has a path and a size of its own."""
    return pl.DataFrame(
        {
            "time": [time for time, _, _ in entries],
            "metadata.uid": [f"u{time:04}" for time, _, _ in entries],
            "kind": [kind for _, kind, _ in entries],
            "user": [user for _, _, user in entries],
            "host": ["nas"] * len(entries),
            "path": [f"/{time}" for time, _, _ in entries],
            "size": [time for time, _, _ in entries],
        }
    )


def correlation(kind, condition, more=""):
    return f"""---
title: Correlated
name: correlated
correlation:
  type: {kind}
  rules: [asks{", other" if kind.startswith("temporal") else ""}]
  group-by: [user]
  timespan: 1m
  condition: {condition}
{more}"""


@pytest.mark.parametrize(
    ("kind", "condition", "uids"),
    [
        ("event_count", "{gte: 2}", ["u0010", "u0030"]),
        ("value_count", "{gte: 2, field: path}", ["u0010", "u0030"]),
        ("value_sum", "{gte: 40, field: size}", ["u0010", "u0030"]),
        ("temporal_ordered", "{gte: 2}", ["u0010", "u0030", "u0035"]),
        ("temporal", "{gte: 2}", ["u0010", "u0030", "u0035"]),
        ("event_count", "{gte: 3}", None),
    ],
)
def test_correlations_count_what_passed(kind, condition, uids):
    """Those alone, with their groups and values, and in the order of event time."""
    run = Offline(compile_rules([("r.yml", RULES + correlation(kind, condition))], lists=LISTS))
    run.take(events((1, "add", "eve")))
    run.take(events(*ASK))
    found = [
        [event["uid"] for event in alert["finding_info"]["related_events"]]
        for alert in run.alerts()
        if alert["finding_info"]["title"] == "Correlated" and alert["unmapped"]["state"] == "final"
    ]
    assert found == ([] if uids is None else [uids])
    assert "Asks" not in run.titles(), "only the correlation alerts"


def test_an_absence_and_a_first_seen_take_what_passed():
    """The extensions of correlations are over it, too."""
    for more, times in (("  absent: [other]", [5_000]), ("  first_seen: true", [10])):
        text = RULES + correlation("event_count", "{gte: 1}", f"northbound:\n{more}\n")
        text = text.replace("timespan: 1m", "timespan: 4s")
        run = Offline(compile_rules([("r.yml", text)], lists=LISTS))
        run.take(events((1, "add", "eve"), *ASK, (3_000, "ask", "eve"), (3_500, "other", "eve")))
        run.take(events((5_000, "ask", "eve")))
        assert [
            alert["finding_info"]["related_events"][0]["uid"]
            for alert in run.alerts()
            if alert["finding_info"]["title"] == "Correlated"
            and alert["unmapped"]["state"] == "final"
        ] == [f"u{time:04}" for time in times]


def test_a_rule_without_steps_costs_no_store():
    """Where nothing is declared there is no store of lists, and no record of them."""
    rules = compile_rules(
        [("r.yml", RULES.partition("---")[0].partition("northbound")[0])], lists={}
    )
    run = Offline(rules)
    assert built(run.plan).stores == ("alerts",)
    run.take(events((1, "add", "eve")))
    assert run.titles() == ["Adds"]
    assert {record.key for record in run.driver.read(NAMES.matches)} == {b"acme\0adds", b""}


def test_a_masked_tenant_has_masked_keys():
    """The list works for it, and neither the state nor `matches` have the clear value."""
    text = RULES.replace("{add: watched}", "{add: watched, key: [actor.user.name]}").replace(
        "{in: watched}", "{in: watched, key: [actor.user.name]}"
    )
    mask = Mask({"actor.user.name": "hash"}, b"k" * 32)
    run = Offline(compile_rules([("r.yml", text)], lists=LISTS), mask=mask)
    sent = events((1, "add", "secret"), (10, "ask", "secret"), (20, "ask", "bob"))
    run.take(sent.rename({"user": "actor.user.name"}).drop("path", "size"))
    assert run.titles().count("Asks") == 1
    everything = [*run.driver.store("lists").items()]
    everything += [(each.key, each.value) for each in run.driver.read(NAMES.matches)]
    assert everything
    assert not any(b"secret" in key or b"secret" in value for key, value in everything)


def test_a_source_that_never_sent_holds_nothing_up():
    """A list that only its events change counts as one nothing was added to."""
    text = RULES.replace("{product: test}", "{product: never}", 2) + (
        "---\ntitle: Unknown\nname: unknown\nlogsource: {product: test}\n"
        "detection: {sel: {kind: ask}, condition: sel}\n"
        "northbound:\n  lists: [{not_in: after}]\n"
    )
    rules = compile_rules([("r.yml", text)], lists=LISTS)
    run = Offline(rules, sources=(("s", LogSource("test")), ("never", LogSource("never"))))
    run.take(events((10, "ask", "eve")))
    assert run.titles() == ["Unknown"]
