"""What waits of lists is kept together, and judged as if each key were alone."""

import re
from unittest import mock

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.list_edits import present
from schemas.codec import decode, header
from tests.lists.offline import NAMES, Offline
from topology import active_lists, judging, kept_steps, passing, step_batches
from topology.adding import add
from topology.correlate import partial_columns
from topology.correlate.head import HEAD, LEAST
from topology.correlate.list_key import Entry, goes_at, judge, read_rest, read_times, written
from topology.lists import ActiveList
from topology.match.compile import compile_rules
from topology.testing import MemoryStore

RULES = """\
title: Adds
name: adds
logsource: {product: test}
detection: {sel: {kind: add}, condition: sel}
northbound: {alert: false, lists: [{add: watched}]}
---
title: Asks
name: asks
logsource: {product: test}
detection: {sel: {kind: ask}, condition: sel}
northbound: {lists: [{in: watched}]}
"""
COMPILED = compile_rules([("r.yml", RULES)], lists={"watched": ActiveList("watched", ("user",))})
USERS = 200
LONG = 'é\\"{a' * 100
"""What is escaped twice, and so long that many of its tests do not fit into one row."""


def events(*entries):
    """Frame of (time, kind, user)."""
    return pl.DataFrame(
        {
            "time": [time for time, _, _ in entries],
            "metadata.uid": [f"u{time:05}{kind}{user[:9]}" for time, kind, user in entries],
            "kind": [kind for _, kind, _ in entries],
            "user": [user for _, _, user in entries],
            "actor.user.name": [user for _, _, user in entries],
        }
    )


def asks(time):
    """Each user asks; one in ten twice, and one a hundred times."""
    for user in range(USERS):
        yield time, "ask", f"user{user}"
        if user % 10 == 0:
            yield time + 50, "ask", f"user{user}"
    for number in range(100):
        yield time + number, "ask", LONG


def kept(run):
    """How many entries of the store are kept tests, and how many are of keys."""
    run.driver.run()
    store = run.driver.store("lists")
    together = sum(key.startswith(b"\0t") for key in store)
    return together, sum(not key.startswith(b"\0") for key in store)


def alerted(many):
    """Alerts of a run in which changes come late, between and after restarts; what is kept."""
    seen = []
    with mock.patch.object(kept_steps, "MANY", many):
        run = Offline(COMPILED)
        run.take(events(*asks(1_000)))
        seen.append(kept(run))
        run.driver.restart()
        run.take(events(*asks(2_000)))
        run.take(events((999, "add", "user7"), (1_030, "add", "user10"), (1_050, "add", LONG)))
        run.advance(1_060)
        seen.append(kept(run))
        run.driver.restart()
        run.take(events((1_900, "add", "user8"), (2_000, "add", "user9"), *asks(1_950)))
        run.advance(2_500)
        run.take(events((2_600, "ask", "user8"), (2_600, "ask", "user12")))
        found = sorted((a["time"], a["finding_info"]["uid"]) for a in run.alerts())
        assert not run.driver.read("dead-letters")
        seen.append(kept(run))
    return found, seen


def test_what_is_kept_together_is_judged_as_what_is_alone():
    """Within lateness, over restarts, for keys with one test, two and many in several records."""
    together, seen = alerted(32)
    alone, single = alerted(1 << 30)
    assert together == alone
    times = [time for time, _ in together]
    assert {1_000, 1_050, 2_600} <= set(times)
    assert len(times) > 150
    assert seen[0][0] == 1
    assert seen[0][1] < 10 < USERS < single[0][1]
    assert seen[1][0] == 2
    assert seen[2] == single[2]
    assert seen[2][0] == 0, "what is over is gone"


STEPS = """\
title: Adds
name: adds
logsource: {product: test}
detection: {sel: {kind: add}, condition: sel}
northbound: {alert: false, lists: [{add: watched, ttl: 20s, values: [why]}, {add: common}]}
---
title: Stays
name: stays
logsource: {product: test}
detection: {sel: {kind: stay}, condition: sel}
northbound: {alert: false, lists: [{add: watched}]}
---
title: Removes
name: removes
logsource: {product: test}
detection: {sel: {kind: remove}, condition: sel}
northbound: {alert: false, lists: [{remove: watched}]}
---
title: Asks
name: asks
logsource: {product: test}
detection: {sel: {kind: ask}, condition: sel}
northbound: {lists: [{in: watched}, {add: seen, values: [why]}]}
---
title: Misses
name: misses
logsource: {product: test}
detection: {sel: {kind: miss}, condition: sel}
northbound: {lists: [{not_in: seen}, {in: common}, {add: seen, ttl: 5s}]}
---
title: New
name: new
logsource: {product: test}
detection: {sel: {kind: new}, condition: sel}
northbound: {alert: false, lists: [{not_in: watched}, {add: watched, ttl: 10s}]}
---
title: Both
name: both
logsource: {product: test}
detection: {sel: {kind: both}, condition: sel}
northbound: {lists: [{in: watched}, {not_in: common}, {remove: common}]}
---
title: Freed
name: freed
logsource: {product: test}
detection: {sel: {kind: free}, condition: sel}
northbound: {alert: false, lists: [{in: watched}, {remove: watched}]}
---
title: Twice
name: twice
correlation:
  type: value_count
  rules: [new]
  group-by: [user]
  timespan: 30s
  condition: {gte: 2, field: why}
---
title: Much
name: much
correlation:
  type: value_sum
  rules: [asks]
  group-by: [user, kind]
  timespan: 30s
  condition: {gte: 10, field: size}
  generate: true
---
title: In order
name: in_order
correlation:
  type: temporal
  rules: [asks, freed]
  timespan: 30s
  condition: {gte: 2}
---
title: Pairs
name: pairs
correlation:
  type: value_count
  rules: [misses]
  timespan: 30s
  condition: {gte: 2, field: [user, why]}
  generate: true
"""
OTHERS = {
    "watched": ActiveList("watched", ("user",)),
    "common": ActiveList("common", ("user",), 15_000, shared=True),
    "seen": ActiveList("seen", ("user",)),
}
STEPPED = compile_rules([("r.yml", STEPS)], lists=OTHERS)
ODD = 'ü"\\\n\x01{a'


def frame(batch):
    """Events of (time, kind, user, why), with uids in the order of the batch."""
    return pl.DataFrame(
        {
            "time": [time for time, *_ in batch],
            "metadata.uid": [
                f"{time:05}{kind}{user[:3]}{at}" for at, (time, kind, user, _) in enumerate(batch)
            ],
            "kind": [kind for _, kind, *_ in batch],
            "user": [user for *_, user, _ in batch],
            "why": [why for *_, why in batch],
            "actor.user.name": [user for *_, user, _ in batch],
            "size": [time % 7 for time, *_ in batch],
        },
        schema_overrides={"time": pl.Int64, "why": pl.String},
    )


MOMENTS = st.builds(
    lambda fifth, rest: 5_000 * fifth + rest, st.integers(0, 11), st.sampled_from([0, 0, 0, 1, 999])
)
"""So that much is at the same time, and when something ends."""
KINDS = ["add", "add", "stay", "remove", "ask", "ask", "both", "miss", "free", "new"]
EVENT = st.tuples(
    MOMENTS,
    st.sampled_from(KINDS),
    st.sampled_from(["u", "v", "w", "x", ODD]),
    st.sampled_from(["x", "null", ODD, None]),
)
PARTS = st.lists(
    st.tuples(st.lists(EVENT, min_size=1, max_size=8), MOMENTS, st.booleans()), max_size=6
)


STATE = re.compile(rb'"state":"(?:provisional|superseded)"')
"""Of alerts that tell what had come by then, which goes by how records are cut."""


def steps_of(parts, many):
    """What was said for good after each part, and at the end; and what the lists have then."""
    said, mark = [], 0
    with (
        mock.patch.object(kept_steps, "MANY", many),
        mock.patch.object(passing, "MANY", 1),
        mock.patch.object(partial_columns, "GROUPS", 1),
    ):
        run = Offline(STEPPED, ("acme", "zeta"))
        for batch, time, restarts in [*parts, ([], 60_001, False), ([], 60_001, True)]:
            if batch:
                run.take(frame(batch), ["acme"] if len(batch) % 2 else None)
            mark = max(mark, time)
            run.advance(mark)
            if restarts:
                run.driver.restart()
            records = [
                (tenant, record.value)
                for tenant in ("acme", "zeta")
                for record in run.driver.read(NAMES.alerts(tenant))
                if not STATE.search(record.value)
            ]
            said.append(sorted(records))
        store = run.driver.store("lists")
        counts = {name: n for name, n in run.driver.counts.items() if name.startswith(("li", "ma"))}
        assert not run.driver.read("dead-letters")
    assert all(key.endswith(HEAD) for key in store), "nothing waits"
    entries = {key: read_rest(value)[1] for key, value in store.items()}
    for key, entry in entries.items():
        assert read_times(store[key])[1] == LEAST
        if entry is not None and entry.until is not None:
            assert read_times(store[key])[2] != LEAST, "it is looked at for its end"
    there = {key: entry for key, entry in entries.items() if entry and not entry.ended(mark)}
    return said, there, counts


@given(PARTS)
@settings(max_examples=80, deadline=None)
def test_all_steps_are_judged_together_as_alone(parts):
    """Whatever comes when, of two tenants: the same is said at the same watermark, the same is in
    the lists then, and the same is counted, over restarts, too."""
    assert steps_of(parts, 1) == steps_of(parts, 1 << 30)


TEXTS = st.one_of(st.sampled_from(["x", ODD, "a,b", "null", "</é>"]), st.text(max_size=5))
ADDS = st.builds(
    lambda rule, ttl, kept: {"a": "add", "r": rule, "t": ttl, **kept},
    st.sampled_from(["rule", 'r"1\\', "é"]),
    st.sampled_from([None, 0, 999, 2_000, 100_000]),
    st.one_of(
        st.just({}),
        st.builds(dict, v=st.dictionaries(TEXTS, TEXTS, max_size=3)),
        st.builds(dict, v=st.dictionaries(TEXTS, st.one_of(st.none(), TEXTS), max_size=3)),
        st.builds(dict, v=st.dictionaries(TEXTS, TEXTS, max_size=1), n=TEXTS),
    ),
)
UIDS = st.sampled_from(["AbC-3-1", "edit:1", "é", 'a"', "b\\"])
ENTRIES = st.builds(
    Entry,
    st.integers(-5, 4_000),
    st.sampled_from([None, 5_000, 5_001, 20_000]),
    TEXTS,
    TEXTS,
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)
HEADS = st.one_of(
    st.none(),
    st.builds(
        lambda entry, goes: written(0, LEAST, goes, entry, ()),
        st.one_of(st.none(), ENTRIES),
        st.sampled_from([LEAST, 60_000]),
    ),
)


TIMES = st.sampled_from([0, 4_999, 5_000, 5_001, 30_000])


@given(st.lists(st.tuples(ADDS, TIMES, UIDS, HEADS), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_what_is_added_in_columns_is_what_is_added_alone(asked):
    """Whatever was there, and whatever texts there are: the head record of each key, byte for byte,
    and when its entry is looked at for its end. Left is what has no text for a value, or an odd
    uid."""
    columns = [
        [orjson.dumps(content).decode() for content, *_ in asked],
        np.array([time for _, time, *_ in asked]),
        [uid for *_, uid, _ in asked],
        [head for *_, head in asked],
    ]
    found = add(*columns, 777)
    assert sorted(row for added in found for row in added.rows.tolist()) == [
        row
        for row, (content, _, uid, _) in enumerate(asked)
        if None not in content.get("v", {}).values() and uid in ("AbC-3-1", "edit:1")
    ]
    for added in found:
        for row, head, goes in zip(added.rows, added.heads, added.goes.tolist(), strict=True):
            content, time, uid, before = asked[row]
            entry = None if before is None else read_rest(before)[1]
            after, _ = judge(entry, [(time, uid, content)], lambda _: ())
            looked_at = LEAST if before is None else read_times(before)[2]
            new = goes_at(after) if looked_at == LEAST else None
            assert goes == (LEAST if new is None else new)
            assert head == written(777, LEAST, looked_at if new is None else new, after, ())


def test_what_rules_add_is_added_in_columns():
    """As it is written where rules match, with values and without; a value that is not there, and
    a uid that has to be escaped, are left."""
    run = Offline(STEPPED)
    run.take(frame([(time, "add", f"u{time}", "why") for time in range(80)]))
    run.take(frame([(time, "stay", f"s{time}", ODD) for time in range(80)]))
    batches = waiting(run)
    assert len(batches) == 3
    for batch in batches:
        texts = [orjson.loads(batch.members(row)[2])[0] for row in range(80)]
        (added,) = add(texts, np.arange(80), ["uid"] * 80, [None] * 80, 0)
        assert added.rows.tolist() == list(range(80))
    texts[1] = '{"a":"add","r":"adds","t":20000,"v":{"why":null}}'
    uids = ["uid"] * 79 + ['"']
    assert sum(len(added.rows) for added in add(texts, np.arange(80), uids, [None] * 80, 0)) == 78


def test_many_keys_are_judged_in_columns():
    """What is added, asked and passed, and what follows: no key is looked at alone, and what is
    sent back shares records."""
    wanted = ("adds", "asks", "misses", "new", "twice", "much")
    text = "---\n".join(each for each in STEPS.split("---\n") if _name(each) in wanted)
    run = Offline(compile_rules([("r.yml", text)], lists=OTHERS))
    alone = AssertionError("a key was looked at alone")
    with (
        mock.patch.object(judging.Judging, "_judge", side_effect=alone),
        mock.patch.object(active_lists.ActiveLists, "take", side_effect=alone),
        mock.patch.object(active_lists.ActiveLists, "go_on", side_effect=alone),
    ):
        users = [f"site\\{number}" for number in range(600)]
        for at, kind, some in (
            (1_000, "add", users[:400]),
            (2_000, "ask", users[:200]),
            (4_000, "new", users[400:]),
            (15_999, "miss", users[200:300]),
            (16_000, "miss", users[300:400]),
        ):
            run.take(frame([(at, kind, user, "why") for user in some]))
            run.advance(at + 1)
    assert not run.driver.read("dead-letters")
    assert run.driver.counts["list_tests_passed"] == 500
    titles = run.titles()
    assert (titles.count("Asks"), titles.count("Misses")) == (200, 100), "one entry has ended"
    told = [alert["evidences"][0]["data"] for alert in run.alerts() if "Asks" in str(alert)]
    assert sum(each.get("listed_by") == "adds" for each in told) == 200
    records = [record.value[:10] for record in run.driver.read(NAMES.matches)]
    added, asked, new, missed, gone = 2, 3, 2, 2, 1
    """The lists that are asked or changed, and the correlations that count."""
    assert records.count(header("PartialBatch")) == added + asked + new + missed + gone
    assert not records.count(header("Partial"))


def _name(rule):
    return rule.partition("name: ")[2].partition("\n")[0]


def waiting(run):
    """The batches that are kept."""
    run.driver.run()
    entries = run.driver.store("lists").items()
    return [
        step_batches.batch_of(value)
        for key, value in sorted(entries)
        if key.startswith(step_batches.KIND)
    ]


def test_what_is_kept_is_shown():
    """`lists show` has what rules added before its time is over, and when it is over in part; of
    what was moved to its key there is one entry, and nothing of what is over."""
    run = Offline(STEPPED)
    run.take(frame([(time, "add", f"u{time:02}", "why") for time in range(100, 180)]))

    def shown(now):
        run.driver.run()
        records = [(0, key, value) for key, value in run.driver.store("lists").items()]
        found = present(records, OTHERS["watched"], ["acme"], now)
        return [(each.key[0], each.entry.since, each.entry.until) for each in found]

    expected = [(f"u{time}", time, time + 20_000) for time in range(100, 180)]
    assert shown(200) == expected
    run.advance(140)
    assert len(waiting(run)) == 2
    assert shown(200) == expected
    run.driver.restart()
    run.take(frame([(150, "remove", "u145", None), (170, "remove", "u175", None)]))
    expected = [each for each in expected if each[0] != "u145"]
    assert shown(200) == expected
    run.advance(300)
    assert not waiting(run)
    assert shown(200) == expected
    assert shown(20_120) == [each for each in expected if each[1] > 120]


def test_a_step_that_cannot_be_done_is_a_dead_letter():
    """When its time has come, with its reason; what else is in its record is done."""
    run = Offline(STEPPED)
    run.take(frame([(time, "add", f"u{time}", "why") for time in range(100, 180)]))
    (value,) = [
        record.value
        for record in run.driver.read(NAMES.matches)
        if b"\2watched" in (record.value or b"")
    ]
    at = 0
    for before, after in (
        (b'\\"why\\"}}"]["{', b'\\"why\\"]}"]["{'),  # no JSON inside
        (b'\\"why\\":\\"why\\"}}"]["{', b'\\"why\\":\\"why\\"}}"}["{'),  # nor outside
        (b'\\"r\\":\\"adds\\"', b'\\"R\\":\\"adds\\"'),
        (b'\\"t\\":20000', b'\\"t\\":2.000'),
    ):
        at = value.index(before, at)
        assert len(before) == len(after)
        value = value[:at] + after + value[at + len(after) :]
        at += len(after) + 100
    run = Offline(STEPPED)
    run.send(b"", value)
    run.driver.run()
    assert not run.driver.read("dead-letters")
    assert len(waiting(run)) == 1
    run.advance(200)
    assert len(run.driver.read("dead-letters")) == 4
    assert len(run.driver.store("lists")) == 76
    run.driver.restart()
    run.advance(300)
    assert len(run.driver.read("dead-letters")) == 4
    assert len({decode(record.value)[1]["uid"] for record in run.driver.read("dead-letters")}) == 4


@pytest.mark.parametrize("together", [False, True])
def test_tests_of_which_what_follows_cannot_be_read_are_dead_letters(together):
    """Where all of a record are so, too: none is passed, and what else waits of the keys is done,
    before or with them."""
    run = Offline(STEPPED)
    run.take(frame([(time, "miss", f"u{time}", "why") for time in range(100, 180)]))
    (value,) = [
        record.value for record in run.driver.read(NAMES.matches) if b"misses" in record.value
    ]
    keyed = re.compile(rb'(?<=\\"k\\":){\\"1\\":{\\"0\\":\\"u...\\"},\\"2\\":{\\"0\\":\\"u...\\"}}')
    assert len(keyed.findall(value)) == 80
    run = Offline(STEPPED)
    run.take(frame([(1, "add", f"u{time}", None) for time in range(100, 180)]))
    run.advance(0 if together else 50)
    run.send(b"", keyed.sub(lambda found: b'\\"%b\\"' % (b" " * (len(found[0]) - 4)), value))
    run.advance(1_000)
    assert len(run.driver.read("dead-letters")) == 80
    assert not run.driver.counts["list_tests_passed"]
    assert not run.driver.counts["list_without_key"]
    assert len(run.driver.store("lists")) == 160


def test_tests_that_an_older_version_kept_are_taken_over():
    """They have no mark, and were judged as far as their list was; keys with a head were moved.
    What came since is not taken for that."""
    run = Offline(STEPPED)
    run.take(frame([(time, "free", f"u{time}", "why") for time in range(100, 180)]))
    (found,) = [each for each in waiting(run) if each.rule.endswith("watched")]
    keys = found.keys()
    store = MemoryStore()
    entry = step_batches.KIND + bytes(8)
    store.put(entry, step_batches.ONLY_TESTS + found.content)
    store.put(keys[10] + HEAD, written(120, 150, LEAST, None, (0,)))
    store.put(keys[50] + HEAD, written(120, LEAST, LEAST, Entry(1, None, "r", "u", {}), ()))
    for _ in range(2):
        kept = kept_steps.KeptSteps(store)
        kept.recall(entry, kept.restore(entry, store.get(entry)), ("raw.s",), 120)
        assert [len(list(kept.move(key))) for key in keys[:21]] == [0] * 20 + [1]
        assert len(list(kept.move(keys[50]))) == 1
        store.commit()
    kept = kept_steps.KeptSteps(store)
    kept.recall(entry, kept.restore(entry, store.get(entry)), ("raw.s",), 130)
    due = kept.advance(("raw.s",), 160)
    assert [alone.keys for alone in due.alone] == [[keys[50]]]
    assert [len(list(kept.move(key))) for key in keys] == [0] * 60 + [1] * 20
    assert not list(kept.advance(("raw.s",), 1_000).several)
    store.commit()
    assert not [key for key in store.committed if key.startswith(b"\0")]
    with pytest.raises(ValueError, match="version"):
        kept.restore(entry, b"\x09" + found.content)
