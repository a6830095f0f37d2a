"""What compiles, what does not, and that every mistake is told with its line at once."""

import polars as pl
import pytest

from topology.match.compile import RuleErrors, compile_rules, read_field_map
from topology.match.fieldmap import find_map
from topology.rules import LogSource

BASE = """
title: Base
id: 11111111-1111-4111-8111-111111111111
name: base
logsource: {product: test}
detection:
  sel:
    a: x
  condition: sel
"""
OTHER = """
---
title: Other
name: other
logsource: {product: test, service: s}
detection: {sel: {a: y}, condition: sel}
"""
CORRELATION = """
---
title: Many
id: 22222222-2222-4222-8222-222222222222
level: high
correlation:
  type: event_count
  rules:
    - base
    - other
  group-by:
    - user
  timespan: 5m
  condition:
    gte: 3
"""


def problems(text, *maps):
    with pytest.raises(RuleErrors) as error:
        compile_rules([("r.yml", text)], maps)
    return error.value.problems


def hits(text, events, logsource=None, maps=()):
    rules = compile_rules([("r.yml", text)], maps)
    found = rules.match(pl.DataFrame(events), logsource)
    return {rules.rules.events[index].rule.title: rows.tolist() for index, rows in found.items()}


def test_correlation():
    """Windows, thresholds and members; base rules are silent, suppress is the timespan."""
    rules = compile_rules([("r.yml", BASE + OTHER + CORRELATION)]).rules
    (many,) = rules.correlations
    assert (many.type, many.operator, many.count) == ("event_count", "gte", 3)
    assert (many.timespan_ms, many.suppress_ms) == (300_000, 300_000)
    assert (many.members, many.group_columns) == ((0, 1), ((("user",),), (("user",),)))
    assert (many.rule.level, many.rule.path, many.rule.line) == ("high", "r.yml", 18)
    assert [rule.alerts for rule in rules.events] == [False, False]


def test_generate_lets_base_rules_alert():
    """One correlation that says generate is enough."""
    loud = CORRELATION.replace("type:", "generate: true\n  type:").replace("    - other\n", "")
    loud = loud.replace("22222222-2222-4222-8222", "33333333-3333-4333-8333")
    rules = compile_rules([("r.yml", BASE + OTHER + CORRELATION + loud)]).rules
    assert [rule.alerts for rule in rules.events] == [True, False]


def test_generate_beside_the_correlation():
    """Where the specification's schema has it."""
    for given, loud in (("true", True), ("false", False)):
        text = BASE + OTHER + CORRELATION + f"generate: {given}\n"
        rules = compile_rules([("r.yml", text)]).rules
        assert [rule.alerts for rule in rules.events] == [loud, loud]
    (told,) = problems(BASE + OTHER + CORRELATION + "generate: sometimes\n")
    assert "generate definition must be a boolean" in told


def test_suppress():
    """`northbound: {suppress: ..}` mutes for another time; anything else there is a mistake."""
    text = BASE + OTHER + CORRELATION
    (many,) = compile_rules([("r.yml", text + "northbound: {suppress: 1h}")]).rules.correlations
    assert many.suppress_ms == 3_600_000
    (told,) = problems(text + "northbound: {supress: 1h}")
    assert told.startswith("r.yml:31: northbound: saw {'supress': '1h'}")
    (told,) = problems(text + "northbound:\n  suppress: soon")
    assert told.startswith("r.yml:32: northbound.suppress: Timespan 'soon' is invalid")


ABSENCE = CORRELATION.replace("    - other\n", "").replace("gte: 3", "gte: 1")


def test_absence():
    """`northbound: {absent: [..]}`: those rules are members that answer, and silent as the rest."""
    text = BASE + OTHER + ABSENCE + "northbound: {absent: [other]}"
    rules = compile_rules([("r.yml", text)]).rules
    (many,) = rules.correlations
    base = "11111111-1111-4111-8111-111111111111"
    assert (many.members, many.steps, many.absent) == ((0, 1), (base, "other"), ("other",))
    assert many.condition == "gte 1 and then no other"
    assert not many.rising
    assert [rule.alerts for rule in rules.events] == [False, False]


@pytest.mark.parametrize(
    ("change", "absent", "told"),
    [
        (("", ""), "other", "saw 'other', expected a list of rules, such as [backup_end]"),
        (("", ""), "[]", "saw [], expected a list of rules"),
        (("", ""), "[third]", "'third' is neither id nor name of an event rule that is loaded"),
        (("", ""), "[base]", "'base' is among the correlation's rules, too"),
        (("gte: 1", "gte: 2"), "[other]", "goes with type: event_count and condition: {gte: 1}"),
        (("gte: 1", "gte: 1\n    lte: 2"), "[other]", "goes with type: event_count"),
        (("event_count", "temporal"), "[other]", "goes with type: event_count"),
    ],
)
def test_broken_absence(change, absent, told):
    """What absence cannot mean is refused where it stands."""
    text = BASE + OTHER + ABSENCE.replace(*change) + f"northbound:\n  absent: {absent}"
    (problem,) = problems(text)
    assert f"northbound.absent: {told}" in problem


def test_first_seen():
    """`northbound: {first_seen: true}`: no mute, and nothing told before a day, UTC."""
    text = BASE + OTHER + ABSENCE.replace("5m", "30d")
    given = "northbound: {first_seen: true, since: 2026-12-24}"
    (many,) = compile_rules([("r.yml", text + given)]).rules.correlations
    assert (many.first_seen, many.since, many.suppress_ms) == (True, 1_798_070_400_000, 0)
    assert (many.condition, many.patient) == ("first seen", False)
    for spelled in ("2026-12-24T01:00:00+01:00", "'2026-12-24'", "2026-12-24 00:00:00"):
        given = f"northbound: {{first_seen: true, since: {spelled}}}"
        (same,) = compile_rules([("r.yml", text + given)]).rules.correlations
        assert same.since == many.since


@pytest.mark.parametrize(
    ("change", "given", "told"),
    [
        (("", ""), "first_seen: often", "first_seen: saw 'often', expected true"),
        (("", ""), "since: 2026-12-24", "since: goes with first_seen: true"),
        (("", ""), "{first_seen: true, since: soon}", "since: saw 'soon', expected a date or time"),
        (("", ""), "{first_seen: true, since: 5}", "since: saw 5, expected a date or time"),
        (("", ""), "{first_seen: true, suppress: 1h}", "suppress: is not needed"),
        (("", ""), "{first_seen: true, absent: [other]}", "absent: asks about what follows"),
        (("gte: 1", "gt: 1"), "first_seen: true", "first_seen: goes with type: event_count"),
    ],
)
def test_broken_first_seen(change, given, told):
    """What first seen cannot mean is refused where it stands."""
    text = BASE + OTHER + ABSENCE.replace(*change) + f"northbound:\n  {given}"
    (problem,) = problems(text)
    assert f"northbound.{told}" in problem


OUTER = """
---
title: Outer
name: outer
correlation:
  type: value_count
  rules: [22222222-2222-4222-8222-222222222222]
  group-by: [zone]
  aliases: {zone: {22222222-2222-4222-8222-222222222222: host}}
  timespan: 1h
  condition: {gte: 2, field: user}
"""
INNER = CORRELATION.replace("    - user\n", "    - user\n    - host\n")


def test_correlation_of_correlations():
    """Alerts are matches: their fields are what they are grouped by; the order of files is free."""
    rules = compile_rules([("r.yml", OUTER.replace("---", "", 1)), ("s.yml", BASE + OTHER + INNER)])
    inner, outer = rules.rules.correlations
    assert outer.chained == (("22222222-2222-4222-8222-222222222222", (1,), (0,)),)
    assert (outer.members, inner.chained) == ((), ())
    assert (inner.alerts, outer.alerts) == (False, True)
    loud = OUTER.replace("type:", "generate: true\n  type:")
    inner, _ = compile_rules([("r.yml", BASE + OTHER + INNER + loud)]).rules.correlations
    assert inner.alerts


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("2222: host}", "2222: site}"), "group-by: saw 'site', expected one of ['user', 'host']"),
        (("field: user", "field: path"), "condition.field: saw 'path', expected one of"),
        (
            ("[22222222-2222-4222-8222-222222222222]", "[outer]"),
            "correlation.rules: counts its own alerts: Outer → Outer",
        ),
    ],
)
def test_broken_correlation_of_correlations(change, told):
    """Other fields, and circles, are refused."""
    found = problems(BASE + OTHER + INNER + OUTER.replace(*change))
    assert any(told in problem for problem in found)


def test_depth_of_correlations():
    """Each waits for those below it, so there is an end to it."""
    texts = [BASE + OTHER + CORRELATION.replace("level: high", "name: r0")]
    for number in range(1, 6):
        text = CORRELATION.replace("    - base\n    - other\n", f"    - r{number - 1}\n")
        text = text.replace("level: high", f"name: r{number}").replace(
            "22222222-2222", f"{number + 2}" * 8 + "-2222"
        )
        texts.append(text)
    compile_rules([("r.yml", "".join(texts[:4]))])
    (told,) = problems("".join(texts[:5]))
    assert "correlation.rules: stands on 4 correlations" in told


def test_aliases():
    """A group-by field may be called differently by each rule, and has to be named for each."""
    alias = "  aliases:\n    user:\n      base: a\n      other: b\n"
    text = BASE + OTHER + CORRELATION.replace("  timespan", alias + "  timespan")
    (many,) = compile_rules([("r.yml", text)]).rules.correlations
    assert many.group_columns == ((("a",),), (("b",),))
    (told,) = problems(text.replace("      other: b\n", ""))
    assert told == "r.yml:29: correlation.aliases.user: names no field for rule 'other'"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("event_count", "temporal"), "condition.gte: asks for more than the 2 rules"),
        (("event_count", "temporal_ordered"), "condition.gte: asks for more than the 2 rules"),
        (
            ("event_count\n  rules:\n    - base\n    - other", "temporal\n  rules: [base, base]"),
            "rules: names a rule twice",
        ),
        (("- other", "- third"), "rules: 'third' is neither id nor name of a rule that is loaded"),
        (("gte: 3", "lt: 1"), "condition.lt: asks for absence"),
        (("gte: 3", "gte: 3\n    lte: 2"), "condition.lte: no number is gte 3 and lte 2"),
        (("gte: 3", "gt: 3\n    lt: 3"), "condition.lt: no number is gt 3 and lt 3"),
        (("gte: 3", "gte: 3\n    lte: many"), "condition.lte: saw 'many', expected a number"),
        (("gte: 3", "gte: many\n    lte: 3"), "condition"),
        (("gte: 3", "neq: 3\n    lt: 1"), "condition.lt: asks for absence"),
        (("event_count", "value_count"), "Value count correlation rule without field"),
        (("5m", "1h30m"), "timespan: Timespan '1h30m' is invalid"),
    ],
)
def test_broken_correlations(change, told):
    """What a correlation cannot mean is refused where it stands."""
    text = CORRELATION
    for old, new in zip(change[::2], change[1::2], strict=True):
        text = text.replace(old, new)
    (problem,) = problems(BASE + OTHER + text)
    assert told in problem


def test_types_that_are_not_there():
    """What Sigma tools have beyond the specification is refused with what is expected."""
    (told,) = problems(BASE + OTHER + CORRELATION.replace("event_count", "temporal_extended"))
    assert "type: 'temporal_extended' is no valid Sigma correlation type" in told
    text = CORRELATION.replace("\n    gte: 3", " base and not other")
    assert any("Extended conditions" in told for told in problems(BASE + OTHER + text))


EXTENDED = CORRELATION.replace("event_count", "temporal").replace("\n    gte: 3", " {}")
THIRD = OTHER.replace("other", "third").replace("Other", "Third")
ID = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("condition", "ways", "rising"),
    [
        ("base and other", [((ID, "other"), ())], True),
        ("base AND NOT other", [((ID,), ("other",))], False),
        ("other or base", [(("other",), ()), ((ID,), ())], True),
        ("not (base or not other)", [(("other",), (ID,))], False),
        ("base or (base and other)", [((ID,), ())], True),
    ],
)
def test_extended_conditions(condition, ways, rising):
    """Which rules have to match, and which must not, in words; with `not` a window has to close."""
    (many,) = compile_rules(
        [("r.yml", BASE + OTHER + EXTENDED.format(condition))]
    ).rules.correlations
    assert (list(many.alternatives), many.rising) == (ways, rising)
    assert many.condition == condition.replace("AND NOT", "and not")


def test_an_extended_condition_names_its_rules():
    """So that `rules` may be left out; the order of a sequence is then that of the condition."""
    text = EXTENDED.format("other and base").replace("  rules:\n    - base\n    - other\n", "")
    for kind in ("temporal", "temporal_ordered"):
        changed = BASE + OTHER + text.replace("type: temporal", f"type: {kind}")
        (many,) = compile_rules([("r.yml", changed)]).rules.correlations
        assert many.alternatives == ((("other", ID), ()),)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("base and", "condition: Failed to parse extended condition"),
        ("base", "Rules defined but not referenced in extended condition: other"),
        ("base and other and third", "Rules referenced in extended condition but not defined"),
        ("not base and not other", "condition: can never come true"),
        ("base and not base and other", "condition: can never come true"),
    ],
)
def test_broken_extended_conditions(condition, told):
    """What such a condition cannot mean is refused where it stands."""
    found = problems(BASE + OTHER + THIRD + EXTENDED.format(condition))
    assert any(told in problem for problem in found), found


def test_a_correlation_over_nothing():
    """It would never alert, whatever comes."""
    text = CORRELATION.replace("\n    - base\n    - other", " []")
    (told,) = problems(BASE + OTHER + text)
    assert told.endswith("correlation.rules: names no rule")


def test_ranges():
    """A condition may name several comparisons, which is judged when the window closes."""
    text = CORRELATION.replace("gte: 3", "gt: 3\n    lte: 9\n    neq: 5")
    (many,) = compile_rules([("r.yml", BASE + OTHER + text)]).rules.correlations
    assert many.condition == "gt 3 and lte 9 and neq 5"
    assert not many.rising


def test_sequences():
    """Without a condition all listed rules have to match; a sequence may ask for a rule again."""
    text = CORRELATION.replace("event_count", "temporal_ordered").replace(
        "    - other\n", "    - other\n    - base\n"
    )
    text = text.replace("  condition:\n    gte: 3\n", "")
    (many,) = compile_rules([("r.yml", BASE + OTHER + text)]).rules.correlations
    assert (many.operator, many.count, many.members) == ("gte", 3, (0, 1))
    assert many.steps == ("11111111-1111-4111-8111-111111111111", "other", many.steps[0])


def test_every_mistake_at_once():
    """Files, documents and keys: all of them in one error."""
    broken = """\
title: Bad
id: not-a-uuid
level: huge
logsource: {product: test}
detection:
  sel:
    A|contans: x
    B|re: '(?<=a)b'
  condition: sel
---
title: Twice
logsource: {product: test}
detection:
  sel: {A: 1}
  sel: {A|cidr: 300.0.0.1/8}
  condition: sel and (
---
- a list
---
title: Nothing
---
title: Collected
action: global
"""
    with pytest.raises(RuleErrors) as error:
        compile_rules([("a.yml", broken), ("b.yml", "a: [1"), ("c.yml", BASE), ("d.yml", BASE)])
    assert [problem.partition(": ")[0] for problem in error.value.problems] == [
        *("a.yml:2", "a.yml:3", "a.yml:7", "a.yml:8", "a.yml:15", "a.yml:15", "a.yml:18"),
        *("a.yml:20", "a.yml:23", "b.yml:2", "d.yml:3", "d.yml:4"),
    ]


def test_rules_are_told_apart():
    """Alerts, groups and their state go by a rule's id, or else its name, or else its title: two
    that share it would be told, and counted, as one."""
    untold = BASE.replace("id: 11111111-1111-4111-8111-111111111111\nname: base\n", "")
    more = untold.replace("a: x", "a: y")
    for second, kept in ((more, True), (more.replace("title: Base", "title: Other"), False)):
        documents = [("a.yml", untold), ("b.yml", second)]
        if not kept:
            compile_rules(documents)
            continue
        with pytest.raises(RuleErrors) as error:
            compile_rules(documents)
        (told,) = error.value.problems
        assert told == "b.yml:2: title: 'Base' is that of a.yml:2 too; give one an id or a name"
    named = BASE.replace("title: Base", "title: Named").replace("name: base", "name: Base")
    with pytest.raises(RuleErrors, match="title: 'Base' is that of"):
        compile_rules([("a.yml", named.replace("id: 1", "related: []\n#", 1)), ("b.yml", untold)])


def test_the_map_that_names_most_counts():
    """Not the one whose names are longest."""
    source = LogSource("a-product-with-a-long-name", "s", "c")
    one = read_field_map("1.yml", f"product: {source.product}\nfields: {{a: one}}")
    two = read_field_map("2.yml", "service: s\ncategory: c\nfields: {a: two}")
    assert find_map([one, two], source) is find_map([two, one], source) is two


def test_conditions_are_checked():
    """A condition that names what is not there, or cannot be parsed."""
    assert (
        "r.yml:9: detection.condition: "
        in problems(BASE.replace("condition: sel", "condition: x"))[0]
    )
    assert "r.yml:9: detection.condition: " in problems(BASE.replace("n: sel", "n: 1 of x*"))[0]


def test_field_map():
    """Fields become columns by the most specific map; one that no map knows is a mistake."""
    loose = read_field_map("m.yml", "product: test\nfields: {a: col}")
    tight = read_field_map("m.yml", "product: test\nservice: s\nfields: {a: [one, two]}")
    events = {"col": ["x", "y", None], "one": [None, None, "z"], "two": ["y", "z", "y"]}
    assert hits(BASE + OTHER, events, maps=(loose, tight)) == {"Base": [0], "Other": [0, 2]}
    (told,) = problems(BASE.replace("a: x", "b: x"), loose)
    assert told == "r.yml:8: detection.sel.b: field 'b' is not in the field map; known: a"


def test_field_map_mistakes():
    """A map says what it expects."""
    with pytest.raises(RuleErrors) as error:
        read_field_map("m.yml", "product: 1\nfield: {}\nfields:\n  a: 7\n")
    assert [problem.partition(": ")[0] for problem in error.value.problems] == [
        "m.yml:1",
        "m.yml:2",
        "m.yml:4",
    ]


def test_log_sources_route():
    """A rule meets events whose log source has everything that the rule's names."""
    events = {"a": ["x", "y"]}
    both = {"Base": [0], "Other": [1]}
    assert hits(BASE + OTHER, events) == both
    assert hits(BASE + OTHER, events, LogSource("test", "s", "c")) == both
    assert hits(BASE + OTHER, events, LogSource("test")) == {"Base": [0]}
    assert hits(BASE + OTHER, events, LogSource("else", "s")) == {}


def test_placeholders_warn():
    """A rule whose list nobody gave loads, never matches, and is named."""
    text = BASE.replace("    a: x", "    a|expand: '%users%'")
    rules = compile_rules([("r.yml", text)])
    assert rules.match(pl.DataFrame({"a": ["%users%", "x"]}), None) == {}
    (warning,) = rules.warnings
    assert warning.startswith("r.yml:8: detection.sel.a|expand: has the placeholder %users%")


def test_placeholders_are_any_of_their_values():
    """In a text, twice in one, in a keyword; values may have wildcards; case is as elsewhere."""
    lists = {"users": ["root", "adm-*"], "host": ["a.example"]}
    given = {
        "'%users%'": [0, 1, 3],
        "'%users%@%host%'": [2, 3],
        "['%users%', z]": [0, 1, 3, 4],
    }
    events = pl.DataFrame({"a": ["ROOT", "adm-7", "root@a.example", "adm-x@A.example", "z", "-"]})
    for value, rows in given.items():
        text = BASE.replace("    a: x", f"    a|expand: {value}")
        found = compile_rules([("r.yml", text)], placeholders=lists).match(events, None)
        assert found[0].tolist() == rows, value
    text = BASE.replace("    a: x", "    '|expand': '%host%'")
    found = compile_rules([("r.yml", text)], placeholders=lists).match(events, None)
    assert found[0].tolist() == [2, 3]


def test_filters_apply():
    """A Sigma filter takes its matches away from the rules it names."""
    sieve = """
---
title: Not z
id: 44444444-4444-4444-8444-444444444444
logsource: {product: test}
filter:
  rules: [base]
  sel: {b: z}
  condition: not sel
"""
    events = {"a": ["x", "x"], "b": ["z", "y"]}
    assert hits(BASE + sieve, events) == {"Base": [1]}


SIEVE = """---
title: Sieve
logsource: {product: test}
filter:
  rules: any
  sel: {b: z}
  other: {b: y}
  condition: not 1 of them
"""


def test_a_filter_for_any_rule():
    """Of its log source; `them` are its own searches, and conditions may be several."""
    events = {"a": ["x", "y", "x", "y"], "b": ["z", "z", "w", "w"]}
    base = BASE.replace("condition: sel", "condition: [sel, 1 of s*]")
    assert hits(base + OTHER + SIEVE, events) == {"Base": [2], "Other": [3]}
    narrow = SIEVE.replace("product: test", "product: test, service: s")
    assert hits(base + OTHER + narrow, events) == {"Base": [0, 2], "Other": [3]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("not 1 of them", "not sell"), "r.yml:17: filter.condition: Detection 'sell' not defined"),
        (("not 1 of them", "not ("), "r.yml:17: filter.condition: "),
        (
            ("sel: {b: z}", "sel: {b|contans: z}"),
            "r.yml:15: filter.sel.b|contans: Unknown modifier",
        ),
        (
            ("sel: {b: z}", "sel: {c: z}"),
            "r.yml:15: filter.sel.c: field 'c' is not in the field map",
        ),
    ],
)
def test_broken_filters(change, told):
    """A mistake in a filter is told where it stands, not at the rules that it is for."""
    text = BASE + SIEVE.replace(*change)
    known = read_field_map("m.yml", "product: test\nfields: {a: a, b: b}")
    (problem,) = problems(text, known)
    assert problem.startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("rules: any", "rules: [base, bass]"),
            "'bass' is neither id nor name of a rule on events",
        ),
        (("rules: any", "rules: other"), "'other' is neither id nor name of a rule on events"),
        (("product: test", "product: tst"), "no rule is loaded for this log source"),
    ],
)
def test_filters_that_filter_nothing(change, told):
    """Whoever misspelt a name would go on to be told what was to be filtered."""
    rules = compile_rules([("r.yml", BASE + SIEVE.replace(*change))])
    (warning,) = rules.warnings
    assert warning.startswith("r.yml:14: filter.rules: ")
    assert told in warning
    assert compile_rules([("r.yml", BASE + SIEVE)]).warnings == ()


def test_a_rule_reads_what_it_compares_with():
    """Else a member of what stayed unmapped, or an attribute that a normalizer has not made yet,
    would not be there to be compared with."""
    text = BASE.replace("a: x", "a|fieldref: unmapped.ext.b")
    rules = compile_rules([("r.yml", text)])
    assert rules.rules.events[0].columns == ("a", "unmapped.ext.b")
    events = pl.DataFrame({"a": ["x", "y"], "unmapped.ext:json": ['{"b":"X"}', '{"b":"z"}']})
    assert rules.match(events, None)[0].tolist() == [0]


def test_missing_columns_are_missing_values():
    """A rule over fields that no event has matches only what it says about their absence."""
    text = BASE.replace("    a: x", "    a: null\n    b|exists: false")
    assert hits(text, {"c": ["1", "2"]}) == {"Base": [0, 1]}
    assert hits(BASE.replace("n: sel", "n: not sel"), {"c": ["1"]}) == {"Base": [0]}
