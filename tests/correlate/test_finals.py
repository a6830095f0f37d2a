"""Finals are the same bytes however matches arrive, and what the reference says."""

import functools
from unittest import mock

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.correlate import reference
from tests.correlate.deployment import (
    CHAINED,
    CORRELATIONS,
    END,
    LATENESS,
    NAMES,
    VALUED,
    alerts,
    driver,
    partial,
    partial_batch,
    send,
    tell,
)
from topology import findings, settling
from topology.correlate import chunks, group
from topology.keys import group_key
from topology.partitioner import partitions as partition_of


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
                    f"u{number}-{n}",
                    draw(st.sampled_from("xyz")),
                    draw(st.sampled_from("ab")),
                )
                for n, (time, _) in enumerate(order)
            ]
        )
    return streams


@st.composite
def runs(draw):
    """How a run goes: partitions of matches, batches, in which turn and cuts, and restarts.

    `awake`: groups that stay in memory over a commit; `wake`: that wake at once; `full`: matches
    of a chunk; `little`: that it may have without need.
    """
    return {
        "partitions": draw(st.integers(1, 3)),
        "workers": draw(st.integers(1, 2)),
        "max_batch": draw(st.integers(1, 7)),
        "turns": draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5)), max_size=12)),
        "restarts": draw(st.sets(st.integers(0, 12), max_size=3)),
        "crashes": draw(st.sets(st.integers(0, 12), max_size=2)),
        "awake": draw(st.sampled_from([0, 1, 3, 100])),
        "wake": draw(st.sampled_from([1, 100])),
        "full": draw(st.sampled_from([1, 3, 256])),
        "little": draw(st.sampled_from([1, 8])),
        "batches": draw(st.lists(st.booleans(), min_size=3, max_size=3)),
    }


def run(streams, plan):
    """Alerts of a run by tenant and state, after all windows are closed."""
    with (
        mock.patch.object(chunks, "FULL", plan["full"]),
        mock.patch.object(chunks, "LITTLE", plan["little"]),
        mock.patch.object(settling, "WAKE", plan["wake"]),
    ):
        return played(streams, plan)


def played(streams, plan):
    partitions = plan["partitions"]
    make = functools.partial(alerts, awake=plan["awake"])
    topology = driver(partitions, plan["workers"], plan["max_batch"], make)
    tell(topology, -(2**63), partitions=partitions)
    left = [list(stream) for stream in streams]
    greatest = [-(2**63)] * 2
    for step, (number, size) in enumerate([*plan["turns"], (0, 100), (1, 100)]):
        batch, left[number] = left[number][:size], left[number][size:]
        for tenant in ("acme", "zeta"):
            for rule in (entry.rule.id for entry in CORRELATIONS):
                groups = {
                    user: sorted(match for match in batch if match[3] == user) for user in "ab"
                }
                groups = {user: matches for user, matches in groups.items() if matches}
                if plan["batches"][step % 3]:
                    send_batches(topology, rule, groups, tenant, partitions)
                    continue
                for user, matches in groups.items():
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


def send_batches(topology, rule, groups, tenant, partitions):
    """The Partials of some groups in one record for each partition."""
    keys = [group_key(tenant, rule, (user,)) for user in groups]
    places = partition_of(keys, partitions).tolist()
    for partition in set(places):
        own = {
            user: groups[user]
            for user, place in zip(groups, places, strict=True)
            if place == partition
        }
        value = partial_batch(rule, own, tenant)
        topology.pipe(NAMES.matches, value, timestamp=0, key=b"", partition=partition)


def finals(found, tenant):
    return sorted((record.key, record.value) for record in found.get((tenant, "final"), ()))


@settings(max_examples=100)
@given(streams(), runs(), runs())
def test_finals_do_not_depend_on_the_run(streams, first, second):
    """Any cuts, interleaving, partitions, workers, restarts, and any number of groups in memory:
    byte-identical finals, each once."""
    one, other = run(streams, first), run(streams, second)
    agree(streams, one, other)


@settings(max_examples=60)
@given(streams(), runs(), runs(), st.sampled_from([1, 2]))
def test_finals_do_not_depend_on_what_is_kept(streams, first, second, linked):
    """Where an alert names only the first events, it makes no difference whether the others were
    kept until its end, or counted as soon as they were certain."""
    with (
        mock.patch.object(findings, "LINKED", linked),
        mock.patch.object(group, "LINKED", linked),
        mock.patch.object(group, "SMALL", 1),
    ):
        with mock.patch.object(group, "MANY", linked + 1):
            one = run(streams, first)
        other = run(streams, second)
    agree(streams, one, other, linked)


def agree(streams, one, other, linked=None):
    """Two runs gave the same finals, and those of the reference."""
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
    told = {}
    for entry in (*CORRELATIONS, *CHAINED):
        for user in "ab":
            matches = [
                (time, uid, None)
                for each in entry.chained
                for time, uid in told.get((each.rule, user), ())
            ]
            matches += [
                (time, uid, path if entry.rule.id in VALUED else None)
                for stream in streams
                for time, uid, path, who in stream
                if who == user and not entry.chained
            ]
            for time, uid, begin, end, uids, _ in reference.finals(matches, entry):
                told.setdefault((entry.rule.id, user), []).append((time, uid))
                expected.append((entry.rule.id, user, time, begin, end, len(uids), uids[:linked]))
    assert sorted(expected) == sorted(
        (
            alert["unmapped"]["rule"]["id"],
            alert["unmapped"]["group"]["user"],
            alert["time"],
            alert["start_time"],
            alert["end_time"],
            alert["count"],
            tuple(event["uid"] for event in alert["finding_info"]["related_events"]),
        )
        for alert in (orjson.loads(value) for _, value in finals(one, "acme"))
    )
