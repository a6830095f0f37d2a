"""Alerts change lists, as lists say, and those of correlations are tested against them."""

import polars as pl
import pytest

from app.config import ConfigError, load
from app.config.lists import ListSettings
from app.planning import build_plan
from app.rules import configured, unknown_in_lists
from tests.lists.offline import Offline
from topology.list_contents import record
from topology.lists import ActiveList
from topology.match.compile import RuleErrors, compile_rules, read_field_map

FIELDS = read_field_map(
    "fieldmap.yml",
    "product: test\nfields: {kind: kind, client: src_endpoint.ip, who: ['@user', actor.user.name]}",
)
RULE = """\
title: {name}
name: {name}
logsource: {{product: test}}
detection: {{sel: {{kind: {kind}}}, condition: sel}}
level: {level}
tags: [{tag}]
northbound: {northbound}
---
"""
GUESSES = """\
title: guesses
name: guesses
correlation:
  type: event_count
  rules: [tried]
  group-by: [client]
  timespan: 1m
  condition: {gte: 3}
level: high
northbound:
  LISTS
---
title: many_guesses
name: many_guesses
correlation:
  type: event_count
  rules: [guesses]
  group-by: [client]
  timespan: 1h
  condition: {gte: 2}
  generate: true
level: critical
northbound:
  LISTS
---
title: by_name
name: by_name
correlation:
  type: event_count
  rules: [tried]
  group-by: [who]
  timespan: 1m
  condition: {gte: 3}
level: critical
"""


def rule(name, kind, level="high", tag="attack.t1110.001", northbound="{}"):
    """A rule on single events; `northbound` as YAML."""
    text = RULE.format(name=name, kind=kind, level=level, tag=tag, northbound=northbound)
    return text.replace("northbound: {}\n", "")


def compiled(text, **listed):
    """Rules with the list `attackers`, by its settings."""
    settings = ListSettings.model_validate({"key": ["ip"], **listed})
    lists = {"attackers": settings.active_list("attackers"), "other": ActiveList("other", ("ip",))}
    return compile_rules([("r.yml", text)], [FIELDS], lists=lists)


def problems(text, **listed):
    with pytest.raises(RuleErrors) as error:
        compiled(text, **listed)
    return error.value.problems


ADD = "lists: [{add: attackers, key: [client], ttl: 5m, values: [client]}]"
FILLED = "{lists: [{not_in: other, key: [client]}, {remove: other, key: [client]}%s]}"


def rules_of(own, more, correlations):
    """Rules of which some alert at least high; `own` and `more` are what they do themselves."""
    return (
        rule("dropped", "drop", northbound=own)
        + rule("asked", "ask", northbound=FILLED % more)
        + rule("low", "low", "medium")
        + rule("else", "else", tag="attack.t1078")
        + rule("tried", "try")
        + correlations
    )


def test_it_is_as_if_each_rule_said_it():
    """By severity, tags and names; for correlations too, and for those that count others. What is
    only counted by others, or has not the field in its groups, has no steps."""
    added = {"key": ["client"], "ttl": "5m", "values": ["client"]}
    text = rules_of("{}", "", GUESSES.replace("northbound:\n  LISTS\n", ""))
    alerts = [{**added, "severity": "high", "tags": ["attack.T1110"]}]
    alerts.append({**added, "rules": ["many_guesses"]})
    found = compiled(text, alerts=alerts).rules
    first = GUESSES.index("LISTS")
    by_hand = GUESSES[:first].removesuffix("northbound:\n  ") + "".join(
        GUESSES[first + len("LISTS\n") :].replace("LISTS", ADD)
    )
    step = ", {add: attackers, key: [client], ttl: 5m, values: [client]}"
    own = compiled(rules_of(f"{{{ADD}}}", step, by_hand)).rules

    def plain(rules):
        return {
            name: [(s.action, s.list.name, s.key, s.values, s.places, s.ttl_ms) for s in steps]
            for name, steps in rules.steps.items()
        }

    assert plain(found) == plain(own)
    assert set(found.steps) == {"dropped", "asked", "many_guesses"}


def test_a_field_may_be_named_as_the_event_attribute():
    """The group of a correlation has it if all that it counts has it there."""
    text = rules_of("{}", "", GUESSES.replace("northbound:\n  LISTS\n", ""))
    named = {"rules": ["dropped", "many_guesses"]}
    by_field = compiled(text, alerts=[{"key": ["client"], **named}]).rules.steps
    by_column = compiled(text, alerts=[{"key": ["src_endpoint.ip"], **named}]).rules.steps
    assert by_field["many_guesses"][0].places == by_column["many_guesses"][0].places == (0,)
    assert by_field["dropped"][0].key == by_column["dropped"][0].key == (("src_endpoint.ip",),)


EVENTS = (
    (1, "drop", "::1"),  # alerts and adds
    (2, "ask", "::1"),
    (3, "low", "::2"),  # alerts below the severity
    (4, "ask", "::2"),
    (10, "try", "::3"),
    (11, "try", "::3"),
    (12, "try", "::3"),  # the third adds
    (12, "ask", "::3"),
    (13, "ask", "::3"),
    (200, "forgive", "::1"),
    (201, "ask", "::1"),
    (311, "ask", "::3"),
    (312, "ask", "::3"),  # its time is over
    (313, "drop", None),
)


@pytest.mark.parametrize("reversed_", [False, True])
def test_alerts_of_rules_and_correlations_fill_a_list(reversed_):
    """From the event that decided them on, for the time to live, and once for each tenant's own;
    another alert takes the entry out. The order within lateness does not matter."""
    text = (
        rule("dropped", "drop")
        + rule("low", "low", "medium")
        + rule("tried", "try", "low")
        + rule("forgiven", "forgive", "informational")
        + rule("listed", "ask", "high", northbound="{lists: [{in: attackers, key: [client]}]}")
        + GUESSES[: GUESSES.index("northbound")]
    )
    alerts = [
        {"key": ["client"], "severity": "high", "ttl": "5m", "without": ["listed"]},
        {"do": "remove", "key": ["client"], "rules": ["forgiven"]},
    ]
    run = Offline(compiled(text, alerts=alerts), tenants=("acme", "beta"))
    events = pl.DataFrame(
        {
            "time": [time * 1_000 for time, _, _ in EVENTS],
            "metadata.uid": [f"u{number:02}" for number, _ in enumerate(EVENTS)],
            "kind": [kind for _, kind, _ in EVENTS],
            "src_endpoint.ip": [ip for _, _, ip in EVENTS],
        }
    )
    for part in (events.reverse() if reversed_ else events).iter_slices(3):
        run.take(part, ["acme"])
    found = [a for a in run.alerts() if a["finding_info"]["title"] == "listed"]
    assert sorted(alert["time"] // 1_000 for alert in found) == [2, 13, 311]
    by = {alert["time"] // 1_000: alert["evidences"][0]["data"] for alert in found}
    assert (by[2]["listed_by"], by[13]["listed_by"]) == ("dropped", "guesses")
    assert run.titles("beta") == []


FILLS = "{alert: false, lists: [{add: attackers, key: [client]}]}"
ASKS = "lists: [{in: attackers, key: [client]}]"
ASKING = (
    rule("adds", "add", "low", northbound=FILLS)
    + rule("tried", "try")
    + GUESSES[: GUESSES.index("northbound")]
    + f"""\
northbound:
  suppress: 10s
  {ASKS}
---
title: twice
name: twice
correlation:
  type: event_count
  rules: [guesses]
  group-by: [client]
  timespan: 1h
  condition: {{gte: 2}}
  generate: true
"""
)


def asking(text, events):
    """A run over events (s, kind, client) after everything was decided, with all its alerts."""
    run = Offline(compiled(text))
    run.take(
        pl.DataFrame(
            {
                "time": [time * 1_000 for time, _, _ in events],
                "metadata.uid": [f"u{number:02}" for number, _ in enumerate(events)],
                "kind": [kind for _, kind, _ in events],
                "src_endpoint.ip": [ip for _, _, ip in events],
            }
        )
    )
    return run, run.alerts()


TRIES = [(time, "try", ip) for time in (10, 11, 12) for ip in ("::1", "::2")]
AGAIN = [(time, "try", "::1") for time in (40, 41, 42)]


def test_an_alert_of_a_correlation_is_tested_against_a_list():
    """At its time, by its group: for those that are not there nothing is said at all, and of the
    others nothing before they are final. It says what was there, and others count what passed."""
    run, alerts = asking(ASKING, [(5, "add", "::1"), (12, "add", "::2"), *TRIES, *AGAIN])
    finals = [alert for alert in alerts if alert["unmapped"]["state"] == "final"]
    assert sorted((a["finding_info"]["title"], a["time"]) for a in finals) == [
        ("guesses", 12_000),
        ("guesses", 42_000),
        ("twice", 42_000),
    ]
    first, *_ = found = [a for a in alerts if a["finding_info"]["title"] == "guesses"]
    assert len(found) == 2, "nothing but finals"
    assert (first["count"], first["unmapped"]["group"]) == (3, {"client": "::1"})
    assert first["activity_name"] == "Create"
    assert [each["uid"] for each in first["finding_info"]["related_events"]] == [
        "u02",
        "u04",
        "u06",
    ]
    assert first["finding_info"]["data_sources"] == ["s"]
    told = first["evidences"][0]["data"]
    assert (told["list"], told["listed_by"], told["listed_uid"]) == ("attackers", "adds", "u00")
    assert not run.driver.read("dead-letters")
    left = [key for key in run.driver.store("lists") if not key.startswith(b"*")]
    assert len(left) == 2, "nothing waits, and the two entries have no end"


def test_but_for_the_test_the_alert_is_the_same():
    """Its uid and all that is said; only that it is its first state, and what was listed."""
    events = [(5, "add", "::1"), *TRIES[::2]]
    _, (asked,) = asking(ASKING, events)
    _, found = asking(ASKING.replace(f"  {ASKS}\n", ""), events)
    (final,) = [each for each in found if each["unmapped"]["state"] == "final"]
    assert asked.pop("evidences")
    kinds = ("activity_id", "activity_name", "type_uid", "type_name")
    assert [asked.pop(name) for name in kinds] != [final.pop(name) for name in kinds]
    assert asked == final


def test_a_silent_correlation_asks_and_adds():
    """`alert: false`: what passed goes on to other lists, and nobody is told."""
    more = ASKS.replace("]}]", "]}, {add: other, key: [client]}]")
    then = rule("then", "then", northbound="{lists: [{in: other, key: [client]}]}")
    silent = ASKING.partition("---\ntitle: twice")[0].replace(
        f"  {ASKS}", f"  alert: false\n  {more}"
    )
    events = [(5, "add", "::1"), *TRIES, (200, "then", "::1"), (200, "then", "::2")]
    _, alerts = asking(then + silent, events)
    assert [(a["finding_info"]["title"], a["time"]) for a in alerts] == [("then", 200_000)]


def test_what_is_no_alert_is_a_dead_letter():
    """A record of `matches` whose alert is not whole: nothing else waits for it."""
    run = Offline(compiled(ASKING))
    content = {"a": "in", "r": "guesses", "s": 0, "g": {"0": "::1"}, "f": {"uid": 1}}
    run.send(*record("acme", ActiveList("attackers", ("ip",)), ("::1",), 1_000, "u", content))
    run.advance(10_000)
    (letter,) = run.driver.read("dead-letters")
    assert b"KeyError" in letter.value


def test_what_cannot_be_done_is_told():
    """A named rule that has not the field or alerts nobody, and a rule that would wait for itself;
    what is chosen by severity and has not the field is passed over."""
    base = rule("tried", "try") + GUESSES.replace("northbound:\n  LISTS\n", "")
    wanted = {"key": ["client"]}
    (found,) = problems(base, alerts=[{**wanted, "rules": ["by_name"]}])
    assert found == (
        "r.yml:29: lists.attackers.alerts[0] asks its alerts for 'client', expected one of "
        "['who']: they have the fields of group-by"
    )
    assert problems(base, alerts=[{**wanted, "rules": ["tried"]}]) == [
        "r.yml:1: lists.attackers.alerts[0] names it, but it alerts nobody"
    ]
    assert "by_name" not in compiled(base, alerts=[wanted]).rules.steps
    circle = rule("asks", "ask", northbound="{lists: [{in: attackers, key: [who]}]}")
    (found,) = problems(circle, alerts=[wanted])
    assert found.startswith("r.yml:7: northbound.lists: goes in a circle")
    assert found.endswith("`alerts` of a list leave out the rules that `without` names")
    same = circle.replace("[who]", "[client]")
    assert len(compiled(same, alerts=[wanted]).rules.steps["asks"]) == 2
    assert len(compiled(circle, alerts=[{**wanted, "without": ["asks"]}]).rules.steps["asks"]) == 1


CONFIG = """\
version: 1
kafka: {embedded: {}}
sources: {q: {format: qumulo}}
rules: [rules.yml]
lists:
  attackers:
    key: [ip]
    alerts:
      - {key: [client], rules: [dropped, droped]}
      - {key: [client], without: [lost]}
"""


def test_rules_that_are_not_there_stop_the_start(tmp_path):
    """With the line of each; the rules that are there are found by id or name."""
    (tmp_path / "rules.yml").write_text(rule("dropped", "drop").removesuffix("---\n"))
    file = tmp_path / "northbound.yaml"
    file.write_text(CONFIG)
    config = load(file)
    told = "expected the id or name of a rule; no file of `rules` has it"
    expected = [
        f"{file}:9: lists.attackers.alerts[0].rules[1]: saw 'droped', {told}",
        f"{file}:10: lists.attackers.alerts[1].without[0]: saw 'lost', {told}",
    ]
    assert unknown_in_lists(config, configured(config)) == expected
    with pytest.raises(ConfigError) as error:
        build_plan(config, {config.names.raw("q"): "o"})
    assert error.value.problems == expected


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{key: [client, who]}", "expected a field for each of ip; see alerts[0].key"),
        ("{key: [client], do: remove, ttl: 1h}", "ttl and values go with do: add; remove them"),
        ("{key: [client], severity: worst}", "alerts[0].severity"),
    ],
)
def test_mistakes_in_the_configuration(tmp_path, entry, told):
    """Keys of other lengths, what does not go with remove, and levels that there are not."""
    (tmp_path / "rules.yml").touch()
    file = tmp_path / "northbound.yaml"
    file.write_text(CONFIG.partition("      - ")[0] + f"      - {entry}\n")
    with pytest.raises(ConfigError) as error:
        load(file)
    (problem,) = error.value.problems
    assert told in problem
