"""Partials carry every match of a batch once, in order, to its tenant, rule and group."""

import struct

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import packed, packed_columns
from schemas.codec import decode, encode
from topology.correlate import partial_columns
from topology.correlate import partials as partials_module
from topology.correlate.partials import partials
from topology.keys import group_key
from topology.match.compile import compile_rules, read_field_map
from topology.partial_batch import read
from topology.partitioner import partitions as partition_of

RULES = """
title: Delete
name: deleted
logsource: {product: test}
detection: {sel: {operation: delete}, condition: sel}
---
title: Many deletes
id: 11111111-1111-4111-8111-111111111111
correlation:
  type: event_count
  rules: [deleted]
  group-by: [user, ip]
  timespan: 1m
  condition: {gte: 3}
---
title: Many paths
id: 22222222-2222-4222-8222-222222222222
correlation:
  type: value_count
  rules: [deleted]
  group-by: [user]
  timespan: 1m
  condition: {gte: 3, field: path}
---
title: Tree delete
id: 33333333-3333-4333-8333-333333333333
logsource: {product: test}
detection: {sel: {operation: tree}, condition: sel}
"""
MANY = """
---
title: Many by user
correlation:
  type: event_count
  rules: [deleted]
  group-by: [user]
  timespan: 1m
  condition: {gte: 3}
"""
NONE = np.iinfo(np.int64).min
TEXT = st.text(max_size=5)


@pytest.fixture(scope="module")
def rules():
    return compile_rules([("rules.yml", RULES)])


def frame(rows):
    columns = ("time", "operation", "user", "ip", "path")
    types = [pl.Int64, *[pl.String] * 4]
    data = {name: [row[at] for row in rows] for at, name in enumerate(columns)}
    events = pl.DataFrame(data, schema=dict(zip(columns, types, strict=True)))
    return events.with_columns(pl.Series("metadata.uid", [f"u{n}" for n in range(len(rows))]))


def run(rules, rows, tenants=("acme",), watermark=NONE, partitions=None):
    events = frame(rows)
    marks = np.full(len(rows), watermark)
    records = partials(
        events,
        rules.match(events, None),
        rules.rules,
        tenants=tenants,
        source="s",
        watermarks=marks,
        partitions=partitions,
    )
    return records, [packed.read_partial(value) for value in records.values]


def times(partial):
    return list(struct.unpack(f"<{len(partial.times) // 8}q", partial.times))


def test_groups_and_order(rules):
    """Matches are sorted by (time, uid) within their group, whatever their order in the batch."""
    rows = [
        (30, "delete", "a", "1", "/x"),
        (10, "delete", "a", "1", "/y"),
        (10, "delete", "b", "1", None),
        (20, "read", "a", "1", "/z"),
        (5, "delete", None, "1", "/z"),
    ]
    records, found = run(rules, rows, tenants=("acme", "zeta"))
    seen = {(p.tenant, p.rule[0], p.group): (times(p), p.uids, p.values) for p in found}
    for tenant in ("acme", "zeta"):
        assert seen[tenant, "1", ("a", "1")] == ([10, 30], b"u1\nu0", b"")
        assert seen[tenant, "1", ("b", "1")] == ([10], b"u2", b"")
        assert seen[tenant, "2", ("a",)] == ([10, 30], b"u1\nu0", b'["/y","/x"]')
    assert len(found) == 6
    assert records.keys == [group_key(p.tenant, p.rule, p.group) for p in found]
    assert records.counts["matches"] == 5
    assert records.counts["matches_without_group"] == 2
    assert records.counts["matches_without_value"] == 1


def test_late_rows_join_nothing(rules):
    """Only a row strictly before its watermark is late."""
    rows = [(99, "delete", "a", "1", "/x"), (100, "delete", "a", "1", "/y")]
    records, found = run(rules, rows, watermark=100)
    assert [times(partial) for partial in found] == [[100], [100]]
    assert records.counts["matches_late"] == 2


def test_single_events_carry_evidence(rules):
    """A rule that alerts by itself sends key fields; the base rule of a correlation sends none."""
    _, found = run(rules, [(1, "tree", "a", "1", "/x"), (2, "delete", "a", "1", "/x")])
    (tree,) = [partial for partial in found if partial.rule.startswith("3")]
    assert tree.group == ()
    assert orjson.loads(tree.evidence) == [{}]
    assert {"1", "2", "3"} == {partial.rule[0] for partial in found}


def test_first_column_with_a_value_groups():
    """A field that is mapped to several columns takes the first that is there."""
    fields = read_field_map("map", "product: test\nfields: {user: [a, b], operation: operation}")
    rules = compile_rules([("r.yml", RULES.split("---", maxsplit=1)[0] + MANY)], [fields])
    events = pl.DataFrame(
        {
            "time": [1, 2, 3],
            "operation": ["delete"] * 3,
            "a": ["x", None, None],
            "b": ["y", "z", None],
            "metadata.uid": ["1", "2", "3"],
        }
    )
    records = partials(
        events,
        rules.match(events, None),
        rules.rules,
        tenants=["t"],
        source="s",
        watermarks=np.full(3, NONE),
    )
    assert [packed.read_partial(value).group for value in records.values] == [("x",), ("z",)]


def test_splits_large_groups(rules):
    """More than 4,096 matches become several Partials."""
    _, found = run(rules, [(n, "delete", "a", "1", None) for n in range(4_097)])
    assert [len(times(partial)) for partial in found] == [4_096, 1]


@given(TEXT, TEXT, st.lists(TEXT, max_size=3), st.binary(max_size=300), TEXT)
def test_packed_is_avro(tenant, rule, group, content, source):
    """The fast path writes and reads the bytes of the schema."""
    record = {
        "tenant": tenant,
        "rule": rule,
        "group": group,
        "times": content,
        "uids": "u" * len(content),
        "values": tenant,
        "evidence": "",
        "source": source,
    }
    opening = packed.head("Partial", tenant, rule, group)
    members = (content, b"u" * len(content), tenant.encode(), b"")
    value = packed.partial(opening, members, packed.text(source))
    assert encode("Partial", record) == value
    assert decode(value) == ("Partial", record)
    assert packed.read_partial(value) == packed.Partial(
        tenant, rule, tuple(group), *members, source
    )
    record = {
        "tenant": tenant,
        "aggregate": rule,
        "group": group,
        "windows": content,
        "source": source,
    }
    value = packed.tally(packed.head("Tally", tenant, rule, group), content, packed.text(source))
    assert encode("Tally", record) == value
    assert packed.read_tally(value) == packed.Tally(tenant, rule, tuple(group), content, source)


@given(
    st.lists(st.lists(st.text(alphabet="a\0\\0", max_size=3), max_size=3), min_size=2, max_size=2)
)
def test_group_keys_are_unambiguous(groups):
    """Different groups have different keys, whatever their values."""
    first, second = (tuple(group) for group in groups)
    assert (first == second) == (group_key("t", "r", first) == group_key("t", "r", second))


PATHS = [None, "", "a", "b", "a\\b", "\0", "\\0", "é\n", "x" * 70, "y" * 3_000]
NAMES = st.sampled_from([*PATHS, "5", "-1.5e2", "1e999", "5\n", "٣", "0.25"])
TWO = """
title: Delete
name: deleted
logsource: {product: test}
detection: {sel: {operation: delete}, condition: sel}
---
title: Tree delete
name: tree
logsource: {product: test}
detection: {sel: {operation: tree}, condition: sel}
---
title: Both
id: 44444444-4444-4444-8444-444444444444
correlation:
  type: event_count
  rules: [deleted, tree]
  group-by: [who]
  aliases: {who: {deleted: user, tree: ip}}
  timespan: 1m
  condition: {gte: 3}
---
title: Values of two fields
id: 55555555-5555-4555-8555-555555555555
correlation:
  type: value_count
  rules: [deleted, tree]
  group-by: [ip]
  timespan: 1m
  condition: {gte: 3, field: [path, user]}
---
title: Sum of numbers
id: 88888888-8888-4888-8888-888888888888
correlation:
  type: value_sum
  rules: [deleted, tree]
  group-by: [ip]
  timespan: 1m
  condition: {gte: 3, field: path}
---
title: Both, in any group of an address
id: 77777777-7777-4777-8777-777777777777
correlation:
  type: temporal
  rules: [deleted, tree, anything]
  group-by: [ip]
  timespan: 1m
---
title: Anything
name: anything
logsource: {product: test}
detection: {sel: {operation: '*e*'}, condition: sel}
---
title: All
id: 66666666-6666-4666-8666-666666666666
correlation:
  type: event_count
  rules: [deleted]
  timespan: 1m
  condition: {gte: 3}
"""


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.sampled_from(["delete", "tree", "read"]), NAMES, NAMES, NAMES
        ),
        max_size=25,
    ),
    st.sampled_from([NONE, 3]),
    st.sampled_from([2, 4_096]),
    st.sampled_from([0, 1_024]),
)
def test_many_and_few_are_alike(rows, watermark, largest, few):
    """In columns come the same records, in the same order within a group, and the same counts."""
    rules = compile_rules([("rules.yml", RULES), ("two.yml", TWO.replace("name: deleted", ""))])
    found = []
    for many in (1, 1_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(partial_columns, "MANY", many)
            patch.setattr(partials_module, "LARGEST", largest)
            patch.setattr(packed_columns, "FEW", few)
            records, _ = run(rules, rows, ("acme", "zeta"), watermark)
        by_key = {}
        for key, value in zip(records.keys, records.values, strict=True):
            by_key.setdefault(key, []).append(value)
        found.append((by_key, {name: n for name, n in records.counts.items() if n}))
    assert found[0] == found[1]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.sampled_from(["delete", "tree", "read"]), NAMES, NAMES, NAMES
        ),
        max_size=25,
    ),
    st.sampled_from([2, 4_096]),
    st.sampled_from([1, 60, 1_000_000]),
    st.integers(1, 5),
)
def test_batches_hold_the_same_partials(rows, largest, large, count):
    """Groups that share a record have the matches that they have alone, in their key's partition.

    The fast path writes the bytes of the schema, and no byte of it can be missing unnoticed.
    """
    rules = compile_rules([("rules.yml", RULES), ("two.yml", TWO.replace("name: deleted", ""))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partials_module, "LARGEST", largest)
        patch.setattr(partial_columns, "LARGE", large)
        alone, _ = run(rules, rows, ("acme", "zeta"))
        patch.setattr(partial_columns, "MANY", 1)
        patch.setattr(partial_columns, "GROUPS", 1)
        together, singles = run(rules, rows, ("acme", "zeta"), partitions=count)
    wanted, found = {}, {}
    for key, value in zip(alone.keys, alone.values, strict=True):
        partial = packed.read_partial(value)
        if not partial.evidence:
            wanted.setdefault(key, []).append((partial.times, partial.uids, partial.values))
    assert all(partial.evidence for partial in singles)
    for partition, value in together.batches:
        batch = read(value)
        _, record = decode(value)
        assert encode("PartialBatch", record) == value
        assert (batch.tenant, batch.rule) == (record["tenant"], record["rule"])
        assert batch.source == "s"
        keys = batch.keys()
        assert set(partition_of(keys, count).tolist()) == {partition}
        firsts, lasts = batch.spans()
        for place, key in enumerate(keys):
            members = batch.members(place)
            assert struct.unpack_from("<q", members[0]) == (firsts[place],)
            assert struct.unpack("<q", members[0][-8:]) == (lasts[place],)
            found.setdefault(key, []).append(members)
            partial = packed.read_partial(batch.alone(place))
            assert group_key(partial.tenant, partial.rule, partial.group) == key
            assert (partial.times, partial.uids, partial.values) == members
        for end in range(10, len(value), len(value) // 20):
            with pytest.raises((ValueError, IndexError)):
                read(value[:end])
    assert found == wanted
    assert {k: n for k, n in together.counts.items() if n} == {
        k: n for k, n in alone.counts.items() if n
    }
