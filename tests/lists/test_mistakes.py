"""What is wrong with lists in rules and in northbound.yaml is told with file and line."""

import pytest

from app.config import ConfigError, load
from topology.lists import ActiveList
from topology.match.compile import RuleErrors, compile_rules, read_field_map

LISTS = {
    "users": ActiveList("users", ("user",), 1_000),
    "pairs": ActiveList("pairs", ("user", "host")),
}
MAP = read_field_map("fieldmap.yml", "product: test\nfields: {user: u, host: h, code: c}")
HEAD = """\
title: Base
name: base
logsource: {product: test}
detection:
  sel: {code: 1}
  condition: sel
northbound:
  lists:
"""
CORRELATION = """\
---
title: Many
name: many
correlation:
  type: event_count
  rules: [base]
  group-by: [host]
  timespan: 1m
  condition: {gte: 2}
northbound:
  lists:
"""


def problems(text, lists=LISTS):
    with pytest.raises(RuleErrors) as error:
        compile_rules([("r.yml", text)], [MAP], lists=lists)
    return error.value.problems


def steps(text, lists=LISTS):
    return compile_rules([("r.yml", text)], [MAP], lists=lists).rules.steps


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            "add: userz",
            "r.yml:9: northbound.lists.0.add: saw 'userz', expected one of the lists in northb",
        ),
        (
            "{add: users, key: [usr]}",
            "r.yml:9: northbound.lists.0.key: field 'usr' is not in the field map; known: code",
        ),
        (
            "{in: pairs, key: [user]}",
            "r.yml:9: northbound.lists.0.key: saw ['user'], expected a field for each of ['user'",
        ),
        ("{add: users, ttl: soon}", "r.yml:9: northbound.lists.0.ttl: saw 'soon', expected a time"),
        ("{in: users, ttl: 1h}", "r.yml:9: northbound.lists.0.ttl: goes with add"),
        ("{remove: users, values: [host]}", "r.yml:9: northbound.lists.0.values: goes with add"),
        ("{add: users, key: user}", "r.yml:9: northbound.lists.0.key: saw 'user', expected a list"),
        ("{put: users}", "r.yml:9: northbound.lists.0: saw {'put': 'users'}, expected one of in"),
        ("{add: users, in: users}", "r.yml:9: northbound.lists.0: saw {'add': 'users', 'in'"),
    ],
)
def test_mistakes_in_steps(step, told):
    """Each names the step and what was expected."""
    found = problems(f"{HEAD}    - {step}\n")
    assert found[0].startswith(told)


def test_every_mistake_has_the_line_of_its_step():
    """The second step's mistake stands on the second step's line, and its key's."""
    text = f"{HEAD}    - {{add: users}}\n    - in: pairs\n      key: [user, nobody]\n"
    (found,) = problems(text)
    assert found.startswith("r.yml:11: northbound.lists.1.key: field 'nobody'")


def test_other_extensions_are_for_correlations():
    """A rule on single events has lists and nothing else."""
    (found,) = problems(HEAD.replace("  lists:\n", "  suppress: 1h\n"))
    assert found.startswith("r.yml:7: northbound: saw {'suppress': '1h'}")


def test_a_rule_may_fill_lists_and_be_silent():
    """`alert: false` beside lists; anything else there is a mistake."""
    text = f"{HEAD}    - {{add: users}}\n{CORRELATION}    - {{add: users, key: [host]}}\n"
    for rule in (text, text.replace("lists:", "alert: false\n  lists:")):
        compiled = compile_rules([("r.yml", rule)], [MAP], lists=LISTS).rules
        (many,) = compiled.correlations
        assert many.alerts == (rule == text)
    alone = f"{HEAD}    - {{add: users}}\n"
    for said, alerts in (("", True), ("  alert: false\n", False), ("  alert: true\n", True)):
        (base,) = compile_rules([("r.yml", alone + said)], [MAP], lists=LISTS).rules.events
        assert base.alerts == alerts
    (found,) = problems(f"{alone}  alert: never\n")
    assert found == "r.yml:10: northbound.alert: saw 'never', expected false"
    (found,) = problems(HEAD.replace("  lists:\n", "  alert: false\n"))
    assert found.startswith("r.yml:7: northbound: saw {'alert': False}, expected lists")


def test_a_correlation_changes_lists_by_its_group():
    """And asks for what is in its group: it has the fields of group-by alone."""
    text = HEAD.replace("northbound:\n  lists:\n", "") + CORRELATION
    (asked,) = problems(f"{text}    - {{in: users, key: [user]}}\n")
    assert asked.startswith("r.yml:18: northbound.lists.0.key: saw 'user', expected one of ['hos")
    both = "    - {add: users, key: [host]}\n    - {in: users, key: [host]}\n"
    first, last = steps(text + both)["many"]
    assert (first.action, first.places, last.action, last.places) == ("in", (0,), "add", (0,))
    (other,) = problems(f"{text}    - {{add: users}}\n")
    assert other == (
        "r.yml:18: northbound.lists.0.key: saw 'user', expected one of ['host']: its alerts have "
        "the fields of group-by"
    )
    (step,) = steps(f"{text}    - {{add: users, key: [host], values: [host]}}\n")["many"]
    assert (step.places, step.ttl_ms) == ((0, 0), 1_000)


def test_what_waits_for_itself_is_refused():
    """A list cannot wait for what it decides: neither directly nor through a correlation."""
    text = f"{HEAD}    - {{in: users}}\n{CORRELATION}    - {{add: users, key: [host]}}\n"
    (found,) = problems(text)
    assert "many → list users → many" in found
    (found,) = problems(f"{HEAD}    - {{in: users}}\n    - {{add: users, key: [host]}}\n")
    assert "list users → list users;" in found
    asking = f"{HEAD}    - {{in: users}}\n{CORRELATION}    - {{in: users, key: [host]}}\n"
    (found,) = problems(asking)
    assert "many → list users → many" in found


def test_the_test_of_what_is_changed_comes_last():
    """So that both are done together, whatever the order in the file."""
    text = f"{HEAD}    - {{add: users}}\n    - {{not_in: users}}\n    - {{in: pairs}}\n"
    found = [(step.action, step.list.name) for step in steps(text)["base"]]
    assert found == [("in", "pairs"), ("not_in", "users"), ("add", "users")]


def test_without_a_configuration_rules_say_what_lists_there_are():
    """A check of rules alone takes the key from the rule that names it."""
    (step,) = steps(f"{HEAD}    - {{add: any, key: [user]}}\n", None)["base"]
    assert (step.list, step.key) == (ActiveList("any", ("user",)), (("u",),))
    (found,) = problems(f"{HEAD}    - {{add: any}}\n", None)
    assert found.startswith("r.yml:9: northbound.lists.0.add: needs key")
    (found,) = steps(f"{HEAD}    - {{add: users}}\n", LISTS)["base"]
    assert found.list == LISTS["users"]


def test_mistakes_in_the_configuration(tmp_path):
    """Names, keys and times are checked as all else."""
    file = tmp_path / "northbound.yaml"
    file.write_text(
        "version: 1\nkafka: {embedded: {}}\nsources: {q: {format: qumulo}}\nlists:\n"
        "  Upper: {key: [a]}\n  twice: {key: [a, a]}\n  none: {key: []}\n"
        "  long: {key: [a], ttl: 1}\n"
    )
    with pytest.raises(ConfigError) as error:
        load(file)
    lines = {problem.removeprefix(f"{file}:").partition(":")[0] for problem in error.value.problems}
    assert lines == {"5", "6", "7", "8"}
