"""Every modifier of Sigma 2.1, with values worked out by hand or with Python's own codecs."""

import base64

import polars as pl
import pytest
import yaml
from sigma.modifiers import modifier_mapping

from app.event_lines import flat, frame
from topology.match.compile import compile_rules

PLACEHOLDERS = {"names": ["root", "adm-*", "a.b"], "nobody": []}


def coded(text, encoding, before=b""):
    """base64 of a text in the middle of another, wherever that begins."""
    inner = before + text.encode(encoding)
    return [base64.b64encode(b"x" * n + inner + b"yy").decode() for n in range(3)]


BOM = b"\xff\xfe"
EVENING = ["2026-01-27T18:59:59Z", "2026-01-27T20:30:00+01:30", 1_769_540_400, 1_769_540_400_000]
"""In UTC the first is of the hour before 19, the others are 19 sharp."""

CASES = [
    ("f", "Ab?d*", ["abcd", "ABXDxx"], ["abd", "xabcd"]),
    ("f", r"a\*b", ["a*b"], ["axb", r"a\*b"]),
    ("f", r"a\\*b", ["a\\b", "a\\xxb"], ["a*b", "axb"]),
    ("f", r"a\\\*b", [r"a\*b"], ["a\\xb", "a*b"]),
    ("f", r"a\b", [r"A\B"], ["ab"]),
    ("f", r"a\\b", [r"a\b"], [r"a\\b"]),
    ("f", r"a\\\\b", [r"a\\b"], [r"a\b"]),
    ("f", r"a\?", ["a?"], ["ab"]),
    ("f", "", [""], ["x", None]),
    ("f", None, [None], ["", "x"]),
    ("f", [None, "x"], [None, "x"], ["", "y"]),
    ("f", 5, [5, 5.0, "5"], ["05", 6, True, None]),
    ("f", True, [True, "true"], [False, 1]),
    ("f|contains", "b", ["ABC"], ["ac", None]),
    ("f|startswith", "b", ["BC"], ["abc"]),
    ("f|endswith", "b", ["aB"], ["abc"]),
    ("f|contains|all", ["a", "b"], ["xbya"], ["xa", "xb"]),
    ("f|cased", "Abc", ["Abc"], ["abc"]),
    ("f|contains|cased", "B", ["aBc"], ["abc"]),
    ("f|exists", True, ["x", "", 0, False], [None]),
    ("f|exists", False, [None], ["x", ""]),
    ("f|neq", "x", ["y", None], ["x", "X"]),
    ("f|neq", ["x", 5], ["y", 6], ["x", 5, "5"]),
    ("f|contains|neq", "x", ["y"], ["axb"]),
    ("f|windash|contains", " -p ", [f"c {sign}p x" for sign in "-/\u2013\u2014\u2015"], ["c +p x"]),
    ("f|re", "^a.c$", ["abc"], ["ABC", "xabc", "a\nc"]),
    ("f|re|i", "^a.c$", ["ABC"], ["xabc"]),
    ("f|re|m", "^b$", ["a\nb\nc"], ["ab"]),
    ("f|re|s", "a.b", ["a\nb"], ["ab"]),
    ("f|re", "[a-c]{2,3}(x|y)+", ["zabxy"], ["ax", "AbX"]),
    ("f|base64", "foobar", ["Zm9vYmFy"], ["foobar", "xZm9vYmFy"]),
    ("f|base64offset|contains", "foobar", coded("foobar", "ascii"), coded("fooba!", "ascii")),
    ("f|utf16le|base64offset|contains", "cmd", coded("cmd", "utf-16le"), coded("cmd", "ascii")),
    ("f|wide|base64offset|contains", "cmd", coded("cmd", "utf-16le"), coded("cmd", "utf-16be")),
    ("f|utf16be|base64offset|contains", "cmd", coded("cmd", "utf-16be"), coded("cmd", "utf-16le")),
    (
        "f|utf16|base64offset|contains",
        "cmd",
        coded("cmd", "utf-16le", BOM),
        coded("cmd", "utf-16le"),
    ),
    ("f|lt", 5, [4, 4.9, "-1"], [5, "x", None, True]),
    ("f|lte", 5, [5, "5.0"], [5.1, None]),
    ("f|gt", 5, [5.1, "6"], [5, "nan"]),
    ("f|gte", 5.5, [5.5, "5.5"], [5, "y"]),
    ("f|neq", 5, [4, "6", None], [5, "5", 5.0]),
    ("f|minute", 59, ["2026-01-27T14:59:30Z"], ["2026-01-27T14:58:59Z", 59, "59"]),
    ("f|hour", 18, EVENING[:1], ["2026-01-27T17:59:59Z", 18, "18", None]),
    ("f|hour", 19, [*EVENING[1:], "2026-01-27 19:00:00"], ["2026-01-27T18:59:59Z"]),
    ("f|hour|gte", 18, EVENING, ["2026-01-27T17:59:59Z", 20]),
    ("f|hour|lt", 18, ["2026-01-27T17:59:59Z"], EVENING),
    ("f|hour|neq", 18, [*EVENING[1:], None], EVENING[:1]),
    ("f|day", 27, ["2026-01-27T00:00:00Z"], ["2026-01-26T23:59:59Z"]),
    ("f|week", 53, ["2027-01-01T12:00:00Z"], ["2026-01-27T14:12:23Z"]),
    ("f|month", [1, 12], ["2026-01-27", "2026-12-01"], ["2026-02-01"]),
    ("f|year", 2026, ["2026-12-31T23:59:59.999Z"], ["2027-01-01T00:00:00Z", 2026]),
    ("f|cidr", "10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "x"]),
    ("f|cidr", "2001:db8::/32", ["2001:db8:0:1::5", "2001:0DB8::1"], ["2001:db9::1", "10.0.0.1"]),
    ("f|expand", "%names%", ["ROOT", "adm-7", "a.b"], ["%names%", "axb", "x"]),
    ("f|expand", "%nobody%", [], ["x", ""]),
    ("f|re|expand", "^%names%-[0-9]+$", ["root-1", "adm-x-22", "a.b-3"], ["root", "axb-3"]),
    ("f|re|expand", "^%nobody%$", [], ["x", ""]),
    ("f|fieldref", "g", [{"f": "X", "g": "x"}, {"f": 5, "g": "5"}], [{"f": "x"}, {"g": "x"}]),
    ("f|fieldref|startswith", "g", [{"f": "abc", "g": "A"}], [{"f": "abc", "g": "b"}]),
    ("f|fieldref|endswith", "g", [{"f": "abc", "g": "C"}], [{"f": "abc", "g": "b"}]),
    ("f|fieldref|contains", "g", [{"f": "abc", "g": "B"}], [{"f": "abc", "g": "x"}]),
    ("f|fieldref|neq", "g", [{"f": "a", "g": "b"}], [{"f": "a", "g": "A"}]),
    ("f|fieldref", "g", [{"f": ["a", "b"], "g": "b"}], [{"f": ["a", "b"], "g": "c"}]),
    ("f|fieldref", "g", [{"f": "b", "g": ["a", "b"]}], [{"f": "b", "g": []}]),
]
NAMES = {name for key, *_ in CASES for name in key.split("|")[1:]}
LONGER = {"ignorecase": "i", "multiline": "m", "dotall": "s"}
"""Names that pySigma has for the specification's."""


def event(given):
    return given if isinstance(given, dict) else {"f": given}


@pytest.mark.parametrize(("key", "value", "yes", "no"), CASES)
def test_modifier(key, value, yes, no):
    """Alone and among others in a frame, a few and many, and as the element of a list."""
    detection = {"sel": {key: value}, "condition": "sel"}
    rule = {"title": "R", "logsource": {"product": "test"}, "detection": detection}
    rules = compile_rules([("r.yml", yaml.safe_dump(rule))], placeholders=PLACEHOLDERS)
    assert rules.warnings == ()

    def rows(events):
        return rules.match(frame([flat(each) for each in events]), None).get(0, ())

    for each in yes:
        assert len(rows([event(each)])) == 1, each
    for each in no:
        assert len(rows([event(each)])) == 0, each
    events = [event(each) for each in (*yes, *no)]
    for copies in (1, 700):
        wanted = [len(events) * n + at for n in range(copies) for at in range(len(yes))]
        assert list(rows(events * copies)) == wanted
    # Sigma says what a value is asked; of several any will do, so what is denied needs none.
    if not {"neq", "exists"} & set(key.split("|")) and None not in (value, *yes):
        listed = [each | {"f": ["-", each["f"]]} for each in map(event, yes) if "f" in each]
        scalar = [each for each in listed if not isinstance(each["f"][1], list)]
        assert len(rows(scalar)) == len(scalar)


def test_no_modifier_is_left_out():
    """What pySigma takes and what the specification names is tried above."""
    known = {LONGER.get(name, name) for name in modifier_mapping}
    assert known == NAMES


def test_which_others_are_in_a_batch_does_not_matter():
    """A column of numbers alone is one of numbers, else of texts; with one list, of lists."""
    rule = {
        "title": "R",
        "logsource": {"product": "test"},
        "detection": {"sel": {"f": 1}, "word": ["evil"], "condition": "sel or word"},
    }
    rules = compile_rules([("r.yml", yaml.safe_dump(rule))])
    for other in ({}, {"f": 1.5}, {"f": "x"}, {"f": ["x", "y"]}, {"g": ["z"]}):
        for given in ({"f": 1}, {"f": 1.0}, {"g": "an evil"}, {"g": ["a", "evil"]}):
            events = frame([flat(given), flat(other)])
            assert rules.match(events, None)[0].tolist() == [0], (given, other)


def test_keywords_are_found_in_lists():
    """In events without an original line, and beside one that spells it otherwise."""
    rule = {
        "title": "R",
        "logsource": {"product": "test"},
        "detection": {"word": [r"windows\evil"], "condition": "word"},
    }
    rules = compile_rules([("r.yml", yaml.safe_dump(rule))])
    values = [["a", "C:\\Windows\\evil.exe"], ["a"], None, []]
    for copies in (1, 600):
        events = pl.DataFrame({"args": values * copies})
        assert rules.match(events, None)[0].tolist() == [4 * n for n in range(copies)]
        events = events.with_columns(raw_data=pl.lit(r'{"args":["a","C:\\Windows\\evil.exe"]}'))
        assert rules.match(events, None)[0].tolist() == [4 * n for n in range(copies)]


def test_keywords_need_not_be_texts():
    """YAML makes numbers and truth of some words; the line has them as they are written."""
    for keyword, found in ((4688, [0]), (True, [1]), (1.5, [2])):
        rule = {
            "title": "R",
            "logsource": {"product": "test"},
            "detection": {"word": [keyword], "condition": "word"},
        }
        rules = compile_rules([("r.yml", yaml.safe_dump(rule))])
        events = pl.DataFrame({"raw_data": ["event 4688", "admin=True", "load 1.5"]})
        assert rules.match(events, None)[0].tolist() == found
