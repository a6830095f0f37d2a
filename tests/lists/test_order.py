"""What lists let pass is what the reference says, however events arrive within lateness."""

import functools
from dataclasses import replace
from unittest import mock

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from app.commands.match import Matching
from app.event_lines import read_events
from tests.correlate.reference import finals
from tests.lists.reference import Lists
from tests.topology.deployment import START, line
from topology import active_lists, kept_steps, passing
from topology.correlate import chunks, partial_columns
from topology.lists import ActiveList
from topology.match.compile import compile_rules, read_field_map
from topology.pipeline import pipeline
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

SECOND = 1_000
LATENESS = 30 * SECOND
FIELDS = read_field_map(
    "fieldmap.yml",
    "product: qumulo\nfields: {user: '@user', path: file.path, name: file.name}",
)
LISTS = {
    each.name: each
    for each in (
        ActiveList("watched", ("user",), 40 * SECOND),
        ActiveList("files", ("file",)),
        ActiveList("seen", ("user", "file"), 25 * SECOND),
        ActiveList("loud", ("user",), 60 * SECOND),
        ActiveList("common", ("user",), 35 * SECOND, shared=True),
        ActiveList("flagged", ("user",), 30 * SECOND),
    )
}


def rule(name, steps):
    folder = {"adds": "/a/", "stays": "/s/", "frees": "/f/"}.get(name, "/t/")
    return f"""
title: {name}
name: {name}
logsource: {{product: qumulo, service: audit}}
detection: {{sel: {{path|startswith: {folder}}}, condition: sel}}
northbound:
  lists: [{", ".join(steps)}]
---"""


RULES = (
    rule("adds", ["{add: watched}", "{add: common, key: [user], values: [path]}"])
    + rule("stays", ["{add: watched, ttl: 90s}"])
    + rule("frees", ["{remove: watched, key: [user]}"])
    + rule("inside", ["{in: watched}", "{add: files, key: [name]}"])
    + rule("outside", ["{not_in: watched, key: [user]}"])
    + rule("opened", ["{in: files, key: [name]}"])
    + rule("both", ["{in: watched}", "{not_in: files, key: [name]}"])
    + rule("new", ["{not_in: seen, key: [user, name]}", "{add: seen, key: [user, name]}"])
    + rule("anywhere", ["{in: common}"])
    + rule("quiet", ["{not_in: loud}"])
    + rule("warned", ["{in: flagged}"])
    + rule("any", []).replace("northbound:\n  lists: []\n", "")
    + """
title: many
name: many
correlation:
  type: event_count
  rules: [inside]
  group-by: [user]
  timespan: 20s
  condition: {gte: 2}
  generate: true
northbound:
  suppress: 5s
  lists: [{add: loud}]
---
title: asked
name: asked
correlation:
  type: event_count
  rules: [any]
  group-by: [user]
  timespan: 20s
  condition: {gte: 2}
northbound:
  suppress: 5s
  lists: [{in: watched}, {not_in: flagged}, {add: flagged}]
---
title: again
name: again
correlation:
  type: event_count
  rules: [asked]
  group-by: [user]
  timespan: 60s
  condition: {gte: 2}
  generate: true
northbound:
  suppress: 10s
"""
)
COMPILED = compile_rules([("rules.yml", RULES)], [FIELDS], lists=LISTS)
TENANTS = {"acme": "a", "zeta": "b"}


def alerts_of(streams):
    """Alerts by tenant: rule, user and time in s; from the reference."""
    events = sorted(
        (time, tenant, uid, kind, user, name)
        for tenant, source in TENANTS.items()
        for time, uid, kind, user, name in streams[source]
    )
    lists, told = Lists(), {tenant: [] for tenant in TENANTS}

    def changed():
        for time, tenant, uid, kind, user, _ in events:
            if kind == "a":
                lists.add((tenant, "watched", user), time, uid, 40)
                lists.add(("*", "common", user), time, uid, 35)
            elif kind == "s":
                lists.add((tenant, "watched", user), time, uid, 90)
            elif kind == "f":
                lists.remove((tenant, "watched", user), time, uid)

    changed()
    tests = [event for event in events if event[3] == "t"]
    inside = []
    for time, tenant, uid, _, user, name in tests:
        watched = lists.there((tenant, "watched", user), time)
        told[tenant].append(("inside" if watched else "outside", user, time))
        if watched:
            inside.append((tenant, user, time, uid))
            lists.add((tenant, "files", name), time, uid, None)
    for time, tenant, _, _, user, name in tests:
        opened = lists.there((tenant, "files", name), time)
        if opened:
            told[tenant].append(("opened", user, time))
        elif lists.there((tenant, "watched", user), time):
            told[tenant].append(("both", user, time))
        if lists.there(("*", "common", user), time):
            told[tenant].append(("anywhere", user, time))
    for time, tenant, uid, _, user, name in tests:
        if not lists.there((tenant, "seen", user, name), time):
            told[tenant].append(("new", user, time))
            lists.add((tenant, "seen", user, name), time, uid, 25)
    many, asked, again = COMPILED.rules.correlations
    many = replace(many, timespan_ms=20, suppress_ms=5)
    asked = replace(asked, timespan_ms=20, suppress_ms=5)
    again = replace(again, timespan_ms=60, suppress_ms=10)
    for tenant in TENANTS:
        for user in {event[4] for event in tests}:
            found = [(t, uid, None) for who, u, t, uid in inside if (who, u) == (tenant, user)]
            for time, uid, *_ in finals(found, many):
                told[tenant].append(("many", user, time))
                lists.add((tenant, "loud", user), time, uid, 60)
            found = [(t, uid, None) for t, who, uid, _, u, _ in tests if (who, u) == (tenant, user)]
            passed = []
            for time, uid, *_ in finals(found, asked):
                if lists.there((tenant, "watched", user), time) and not lists.there(
                    (tenant, "flagged", user), time
                ):
                    passed.append((time, uid, None))
                    lists.add((tenant, "flagged", user), time, uid, 30)
            told[tenant] += [("asked", user, time) for time, *_ in passed]
            told[tenant] += [("again", user, time) for time, *_ in finals(passed, again)]
    for time, tenant, _, _, user, _ in tests:
        if not lists.there((tenant, "loud", user), time):
            told[tenant].append(("quiet", user, time))
        if lists.there((tenant, "flagged", user), time):
            told[tenant].append(("warned", user, time))
    return {tenant: sorted(found) for tenant, found in told.items()}


@st.composite
def streams(draw):
    """For each source, events as they arrive: (time in s, uid, kind, user, file)."""
    found = {}
    for source in "ab":
        times = draw(st.lists(st.integers(0, 100), max_size=16))
        lags = draw(st.lists(st.integers(0, 29), min_size=len(times), max_size=len(times)))
        order = sorted(zip(times, lags, strict=True), key=sum)
        found[source] = [
            (
                time,
                f"{source}{number:02}",
                draw(st.sampled_from("aasftttt")),
                draw(st.sampled_from(["u", "v"])),
                draw(st.sampled_from(["x", "y"])),
            )
            for number, (time, _) in enumerate(order)
        ]
    return found


@st.composite
def runs(draw):
    """How a run goes: partitions, workers, batches, in which turn sources are read, and faults."""
    return {
        "raw": draw(st.integers(1, 2)),
        "partitions": draw(st.integers(1, 3)),
        "workers": draw(st.integers(1, 2)),
        "max_batch": draw(st.integers(1, 9)),
        "commit_every": draw(st.integers(1, 3)),
        "turns": draw(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), max_size=10)),
        "restarts": draw(st.sets(st.integers(0, 10), max_size=2)),
        "crashes": draw(st.sets(st.integers(0, 10), max_size=2)),
        "awake": draw(st.sampled_from([0, 1, 100])),
        "full": draw(st.sampled_from([1, 2, 256])),
        "many": draw(st.sampled_from([1, 32])),
        "groups": draw(st.sampled_from([1, 64])),
    }


def driver(run):
    names = Names()
    sources = {
        name: SourcePlan(name, "qumulo", LogSource("qumulo", "audit"), lateness_ms=LATENESS)
        for name in TENANTS.values()
    }
    plan = Plan(
        names=names,
        sources=sources,
        tenants={
            tenant: TenantPlan(tenant, frozenset({source}), events=False)
            for tenant, source in TENANTS.items()
        },
        origins={names.raw(source): source * 11 for source in sources},
        rules=COMPILED,
        matches_partitions=run["partitions"],
    )
    return TopologyTestDriver(
        [Step(functools.partial(node.build, plan), node.topics(plan)) for node in pipeline()],
        partitions={"raw.a": run["raw"], "raw.b": run["raw"], "matches": run["partitions"]},
        workers=run["workers"],
        max_batch=run["max_batch"],
        commit_every=run["commit_every"],
    )


def played(streams, run):
    """Alerts of a run, as the reference has them."""
    topology = driver(run)
    left = {source: list(enumerate(stream)) for source, stream in streams.items()}
    # Windows wait for the partitions that there are; so all have something from the start.
    for source in TENANTS.values():
        for number in range(run["raw"]):
            topology.pipe(f"raw.{source}", None, timestamp=START - 60 * SECOND, partition=number)
    topology.run()
    for step, (source, size) in enumerate([*run["turns"], ("a", 100), ("b", 100)]):
        batch, left[source] = left[source][:size], left[source][size:]
        for number, (time, _, kind, user, name) in batch:
            at = START + time * SECOND
            text = line(at, user, "fs_delete", f"/{kind}/{name}")
            topology.pipe(f"raw.{source}", text, timestamp=at, partition=number % run["raw"])
        if step in run["crashes"]:
            topology.step_once()
            topology.crash()
        topology.run()
        if step in run["restarts"]:
            topology.restart(workers=1 + step % 2)
    topology.advance_wall_clock(START + 3_600 * SECOND)
    topology.run()
    told = {}
    for tenant in TENANTS:
        told[tenant] = []
        for record in topology.read(f"northbound.{tenant}.alerts"):
            alert = orjson.loads(record.value)
            title = alert["finding_info"]["title"]
            if title == "asked":  # nothing is said of it before the list was asked
                assert (alert["unmapped"]["state"], alert["activity_id"]) == ("final", 1)
            if alert["unmapped"]["state"] != "final" or title in ("adds", "stays", "frees"):
                continue
            shown = alert["unmapped"].get("group") or alert["evidences"][0]["data"]
            told[tenant].append((title, shown["user"], (alert["time"] - START) // SECOND))
        told[tenant].sort()
    return told, topology


@given(streams())
@settings(max_examples=60, deadline=None)
def test_a_file_of_events_gives_the_same(streams):
    """`northbound match` over what one tenant has, with lists that are empty at first."""
    streams = {**streams, "b": []}
    run = Matching(COMPILED, None, "time")
    texts = [
        orjson.dumps(
            {
                "time": (START + time * SECOND) // SECOND,
                "@user": user,
                "file.path": f"/{kind}/{name}",
                "file.name": name,
            }
        )
        for time, _, kind, user, name in streams["a"]
    ]
    hits = []
    for stretch in read_events(texts):
        hits += run.take(stretch)
    hits += run.finish()
    users = [user for *_, user, _ in streams["a"]]
    found = [
        (hit["title"], users[hit["events"][0]], hit["time"] // SECOND - START // SECOND)
        for hit in hits
        if hit["title"] not in ("adds", "stays", "frees")
    ]
    assert sorted(found) == alerts_of(streams)["acme"]


@given(streams(), runs())
@settings(max_examples=60, deadline=None)
def test_rules_meet_lists_as_the_reference_says(streams, run):
    """For any order within lateness, batches, partitions, workers, restarts and kills."""
    with (
        mock.patch.object(active_lists, "AWAKE", run["awake"]),
        mock.patch.object(chunks, "FULL", run["full"]),
        mock.patch.object(partial_columns, "GROUPS", run["groups"]),
        mock.patch.object(kept_steps, "MANY", run["many"]),
        mock.patch.object(passing, "MANY", run["many"]),
    ):
        told, topology = played(streams, run)
    assert told == alerts_of(streams)
    assert not topology.counts["matches_late"]
    assert not topology.counts["matches_after_close"]
    assert not topology.read("dead-letters")
