"""The columnar engine finds exactly what an event-by-event evaluation of the same rules finds."""

import pickle

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.match import reference
from topology.match import ruleset
from topology.match.compile import compile_rules

TEXTS = st.text(alphabet="aAbB\\*?/-. 0é\n\x02\x03İsΣς", max_size=6)
WORDS = st.sampled_from(
    [
        "cmd.exe",
        "C:\\Windows\\cmd.exe",
        "10.1.2.3",
        "::ffff:10.1.2.3",
        "7",
        "nan",
        "ΟΔΟΣ.txt",
        "inf",
        "2026-01-27T14:12:23.955+02:00",
    ]
)
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "A": TEXTS | WORDS | st.none(),
        "B": TEXTS | WORDS,
        "N": st.integers(-3, 12) | st.none(),
        "T": st.booleans(),
        "L": st.lists(TEXTS, max_size=3),
    },
)
COMPARISONS = st.sampled_from(["lt", "lte", "gt", "gte"])
ITEM = st.one_of(
    st.tuples(st.sampled_from(["A", "B", "L"]), st.lists(TEXTS | WORDS, min_size=1, max_size=3)),
    st.tuples(
        st.builds(
            "{}|{}".format,
            st.sampled_from(["A", "B", "L"]),
            st.sampled_from(
                [
                    "contains",
                    "startswith",
                    "endswith",
                    "contains|all",
                    "cased",
                    "contains|cased",
                    "windash|contains",
                    "base64offset|contains",
                    "neq",
                ]
            ),
        ),
        st.lists(st.text(alphabet="aAbB-/. éΣΟ", min_size=1, max_size=3), min_size=1, max_size=3),
    ),
    st.tuples(
        st.sampled_from(["A|re", "B|re|i"]),
        st.sampled_from(
            ["^a", "b+$", "a.b", "[aé]B", "[aA]b+", "(bB|/-|aa)b?", "ss|c:.w", "(?i)bs"]
        ),
    ),
    st.tuples(st.just("A|cidr"), st.sampled_from(["10.0.0.0/8", "::/0", "10.1.2.3/32"])),
    st.tuples(st.sampled_from(["A", "N", "T"]), st.sampled_from([None, 7, 0, True, False])),
    st.tuples(st.builds("{}|{}".format, st.sampled_from(["A", "N"]), COMPARISONS), st.just(7)),
    st.tuples(st.sampled_from(["A|exists", "N|exists"]), st.booleans()),
    st.tuples(
        st.builds(
            "{}|fieldref{}".format, st.sampled_from("AL"), st.sampled_from(["", "|endswith"])
        ),
        st.sampled_from("BNL"),
    ),
    st.tuples(
        st.builds(
            "{}|{}{}".format,
            st.sampled_from("ANL"),
            st.sampled_from(["hour", "minute", "week", "year"]),
            st.sampled_from(["", "|gte", "|lt", "|neq"]),
        ),
        st.sampled_from([0, 12, 1970]),
    ),
)
SELECTION = st.lists(ITEM, min_size=1, max_size=3).map(dict) | st.lists(
    st.text(alphabet="aAbB.7", min_size=1, max_size=2), min_size=1, max_size=2
)
CONDITION = st.sampled_from(
    [
        "s1",
        "s1 and s2",
        "s1 or not s2",
        "not (s1 and s2) or s3",
        "1 of s*",
        "all of s*",
        "s1 and not 1 of s*",
        "not s1",
    ]
)
DETECTION = st.fixed_dictionaries(
    {"s1": SELECTION, "s2": SELECTION, "s3": SELECTION, "condition": CONDITION}
)


def rule_text(detection, number):
    rule = {
        "title": f"Rule {number}",
        "name": f"rule{number}",
        "logsource": {"product": "test"},
        "detection": detection,
    }
    return yaml.safe_dump(rule, allow_unicode=True)


def frame(events):
    types = {"A": pl.String, "B": pl.String, "N": pl.Int64, "T": pl.Boolean}
    names = {name for event in events for name in event}
    schema = {name: types.get(name, pl.List(pl.String)) for name in sorted(names)}
    columns = {name: [event.get(name) for event in events] for name in schema}
    return pl.DataFrame(columns | {"": [None] * len(events)}, schema=schema | {"": pl.Null})


def found(rules, events):
    hits = rules.match(frame(events), None)
    return {index: rows.tolist() for index, rows in hits.items()}


def expected(texts, events):
    out = {}
    for index, text in enumerate(texts):
        (rule,) = reference.rules_of(text)
        rows = [row for row, event in enumerate(events) if reference.matches(rule, event)]
        if rows:
            out[index] = rows
    return out


@settings(max_examples=150)
@given(st.lists(DETECTION, min_size=1, max_size=4), st.lists(EVENT, min_size=1, max_size=8))
def test_equals_reference(detections, events):
    """Rules with any mix of modifiers hit the events that the reference says."""
    texts = [rule_text(detection, number) for number, detection in enumerate(detections)]
    rules = compile_rules([(f"{n}.yml", text) for n, text in enumerate(texts)])
    assert expected(texts, events) == found(rules, events)


@settings(max_examples=80)
@given(st.lists(DETECTION, min_size=1, max_size=3), st.lists(EVENT, min_size=1, max_size=6))
def test_automaton_equals_reference(detections, events):
    """The Aho-Corasick path gives the same hits, in one pass and for repeated values."""
    texts = [rule_text(detection, number) for number, detection in enumerate(detections)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ruleset, "CROWDED", 1)
        patch.setattr("topology.match.automaton.MANY", len(events))
        rules = compile_rules([(f"{n}.yml", text) for n, text in enumerate(texts)])
        want = expected(texts, events)
        assert want == found(rules, events)
        copies = 120
        many = found(rules, events * copies)
    width = len(events)
    assert many == {
        index: sorted(row + width * n for row in rows for n in range(copies))
        for index, rows in want.items()
    }


@settings(max_examples=80)
@given(st.lists(DETECTION, min_size=1, max_size=3), st.lists(EVENT, min_size=1, max_size=6))
def test_columns_equal_reference(detections, events):
    """Polars gives the hits that loops over few values give."""
    texts = [rule_text(detection, number) for number, detection in enumerate(detections)]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("atoms.PLAIN", "atoms.SMALL", "columns.PLAIN", "columns.LISTED"):
            patch.setattr(f"topology.match.{name}", 0)
        rules = compile_rules([(f"{n}.yml", text) for n, text in enumerate(texts)])
        assert expected(texts, events) == found(rules, events)


def test_a_text_is_found_wherever_it_stands():
    """The last letter of a Greek word has a small form of its own, which what follows decides: the
    same letters are found before a dot, and within a longer word."""
    values = ["ΚΩΔΙΚΟΣ.docx", "κωδικος", "ΚΩΔΙΚΟΣΑ", "x"]
    for detection in ({"A|contains": "ΚΩΔΙΚΟΣ"}, {"A": "κωδικος*"}, {"A|startswith": "κωδικοσ"}):
        rules = compile_rules([("a.yml", rule_text({"s1": detection, "condition": "s1"}, 1))])
        for copies in (1, 1_000):
            found = rules.match(pl.DataFrame({"A": values * copies}), None)[0].tolist()
            assert len(found) == 3 * copies, detection
    text = rule_text({"s1": ["ΚΩΔΙΚΟΣ"], "s2": {"A": "x"}, "condition": "s1 or s2"}, 1)
    events = pl.DataFrame({"A": values * 1_000, "N": range(4_000)})
    assert len(compile_rules([("a.yml", text)]).match(events, None)[0]) == 4_000
    text = rule_text({"s1": {"A|fieldref|startswith": "B"}, "condition": "s1"}, 1)
    events = pl.DataFrame({"A": values * 1_000, "B": ["ΚΩΔΙΚΟΣ"] * 4_000})
    assert len(compile_rules([("a.yml", text)]).match(events, None)[0]) == 3_000


def test_keywords_are_found_in_values_that_the_line_spells_otherwise():
    """JSON doubles a backslash, XML writes an ampersand out; anchors hold for the line itself."""
    lines = [r'{"path":"C:\\Windows\\evil.exe"}', "<a>you &amp; me</a>", "plain you & me", None]
    values = ["C:\\Windows\\evil.exe", "you & me", None, "C:\\Windows\\evil.exe"]
    found = {
        r"windows\evil": [0, 3],
        "you & me": [1, 2],
        "&amp;": [1],
        r"windows\\\\evil": [0],
    }
    for keyword, rows in found.items():
        rules = compile_rules([("a.yml", rule_text({"s1": [keyword], "condition": "s1"}, 1))])
        for copies in (1, 500):
            events = pl.DataFrame({"raw_data": lines * copies, "file.path": values * copies})
            hits = rules.match(events, None).get(0, np.zeros(0, np.int64))
            assert hits.tolist() == [r + 4 * n for n in range(copies) for r in rows], keyword
    rules = compile_rules([("a.yml", rule_text({"s1": {"|re": "^<.*>$"}, "condition": "s1"}, 1))])
    events = pl.DataFrame({"raw_data": lines, "file.path": values})
    assert rules.match(events, None)[0].tolist() == [1]


def test_what_is_no_number_is_not_greater_than_one():
    """Polars reads `nan` and `inf` as numbers, of which the first is the greatest of all."""
    rules = compile_rules([("a.yml", rule_text({"s1": {"A|gt": 5}, "condition": "s1"}, 1))])
    events = pl.DataFrame({"A": ["nan", "NaN", "inf", "6", " 7 ", "5", "x", None]})
    assert rules.match(events, None)[0].tolist() == [3, 4]


def test_a_network_of_mapped_addresses_is_the_one_that_is_mapped():
    """As addresses do, `::ffff:10.0.0.0/104` counts as IPv4."""
    detection = {"s1": {"A|cidr": "::ffff:10.0.0.0/104"}, "condition": "s1"}
    rules = compile_rules([("a.yml", rule_text(detection, 1))])
    events = pl.DataFrame({"A": ["10.1.2.3", "::ffff:10.9.9.9", "11.0.0.1", "::1"]})
    assert rules.match(events, None)[0].tolist() == [0, 1]


def test_pickled_rules_match_the_same():
    """A cached rule set is the rule set."""
    text = rule_text({"s1": {"A|re": "^a", "B|contains": "x"}, "condition": "s1"}, 1)
    rules = compile_rules([("a.yml", text)])
    events = [{"A": "ab", "B": "yXy"}, {"A": "ba", "B": "x"}]
    assert {0: [0]} == found(rules, events) == found(pickle.loads(pickle.dumps(rules)), events)


def test_stretches_join():
    """A frame longer than a stretch gives the positions in the whole frame."""
    rules = compile_rules([("a.yml", rule_text({"s1": {"A": "x"}, "condition": "s1"}, 1))])
    rows = 2 * ruleset.STRETCH + 5
    events = pl.DataFrame({"A": ["x" if n % 5_000 == 0 else None for n in range(rows)]})
    assert list(range(0, rows, 5_000)) == rules.match(events, None)[0].tolist()
