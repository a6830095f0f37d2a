"""`northbound match`: the engine of the workers over a file, as the command line promises."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.event_lines import flat, frame, read_events

RULES = """
title: Failed login
id: 5d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
name: failed
logsource: {product: test}
detection: {sel: {result: fail}, condition: sel}
---
title: Brute force
id: 6d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
correlation:
  type: event_count
  rules: [failed]
  group-by: [user.name]
  timespan: 1m
  condition: {gte: 3}
---
title: Root
id: 7d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
logsource: {product: test, category: login}
detection: {sel: {user.name: root}, condition: sel}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(tmp_path, events, *options, rules=RULES):
    (tmp_path / "rules.yml").write_text(rules, encoding="utf-8")
    file = tmp_path / "events.ndjson"
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    file.write_text("\n".join(lines), encoding="utf-8")
    arguments = ["match", "--rules", str(tmp_path / "rules.yml"), *options, str(file)]
    result = CliRunner().invoke(app, arguments)
    return result, [json.loads(line) for line in result.stdout.splitlines()]


SEQUENCE = (
    RULES
    + """
---
title: Failures, then root
id: 8d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
correlation:
  type: temporal_ordered
  rules: [failed, failed, 7d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10]
  group-by: [address]
  aliases: {address: {failed: src, 7d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10: from}}
  timespan: 1m
"""
)


def test_sequence(tmp_path):
    """A sequence is found in the order of the events' times, its address under two names."""
    start = 1_767_225_600
    events = [
        {"time": start + 40, "user.name": "root", "from": "10.0.0.1"},
        {"time": start + 20, "result": "fail", "src": "10.0.0.1"},
        {"time": start, "result": "fail", "src": "10.0.0.1"},
        {"time": start + 1, "result": "fail", "src": "10.0.0.2"},
        {"time": start + 2, "user.name": "root", "from": "10.0.0.2"},
        {"time": start + 3, "result": "fail", "src": "10.0.0.2"},
        {"time": start + 4, "result": "fail"},
    ]
    result, hits = run(tmp_path, events, rules=SEQUENCE)
    assert result.exit_code == 0, result.stderr
    assert [hit for hit in hits if hit["title"] == "Failures, then root"] == [
        {
            "rule": "8d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10",
            "title": "Failures, then root",
            "events": [0, 1, 2],
            "group": {"address": "10.0.0.1"},
            "time": (start + 40) * 1000,
        }
    ]


CHAINED = (
    RULES
    + """
---
title: Brute force against two users
id: 9d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10
correlation:
  type: value_count
  rules: [6d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10]
  group-by: []
  timespan: 1h
  condition: {gte: 2, field: user.name}
"""
)


def test_alerts_that_count(tmp_path):
    """A correlation over a correlation has the events that decided the alerts it counts."""
    start = 1_767_225_600
    events = [
        {"time": start + second + 600 * number, "result": "fail", "user.name": name}
        for number, name in enumerate(("eve", "bob"))
        for second in range(3)
    ]
    result, hits = run(tmp_path, events, rules=CHAINED)
    assert result.exit_code == 0, result.stderr
    assert [(hit["title"], hit["events"], hit["time"]) for hit in hits] == [
        ("Brute force against two users", [2, 5], (start + 602) * 1000)
    ]


TRANSFER = """
title: Transfer
name: transfer
logsource: {product: test}
detection: {sel: {bytes: '*'}, condition: sel}
"""


@pytest.mark.parametrize(
    ("kind", "condition", "lines"),
    [
        ("value_sum", "{field: bytes, gte: 100.3}", [0, 1, 3]),
        ("value_sum", "{field: bytes, gt: 100.3}", None),
        ("value_sum", "{field: bytes, lte: 100.3}", [0, 1, 3]),
        ("value_avg", "{field: bytes, gte: 45}", [0, 1, 3]),
        ("value_median", "{field: bytes, eq: 10.2}", [0, 1, 3]),
        ("value_percentile", "{field: bytes, percentile: 100, gte: 80}", [0, 1, 3]),
        ("value_percentile", "{field: bytes, percentile: 0, lt: 10.1}", None),
    ],
)
def test_numbers(tmp_path, kind, condition, lines):
    """Numbers may be numbers or text and are exact; what is no number is no match."""
    rule = f"""
---
title: Numbers
correlation:
  type: {kind}
  rules: [transfer]
  timespan: 1m
  condition: {condition}
"""
    found = [10.1, "80", "many", "10.2", None]
    events = [{"time": 1_767_225_600, "bytes": number} for number in found]
    result, hits = run(tmp_path, [json.dumps(event) for event in events], rules=TRANSFER + rule)
    assert result.exit_code == 0, result.stderr
    assert [hit["events"] for hit in hits] == ([] if lines is None else [lines])


def test_hits(tmp_path):
    """Single events by line, correlations after them, with 0-based lines, group and time."""
    events = [
        {"time": "2026-01-01T00:00:50Z", "result": "fail", "user": {"name": "a"}},
        {"time": 1_767_225_600_000, "result": "FAIL", "user.name": "a"},
        "",
        {"time": 1_767_225_640, "result": "fail", "user": {"name": "a"}},
        {"time": 1_767_225_641, "result": "ok", "user": {"name": "root"}},
    ]
    result, hits = run(tmp_path, events)
    assert result.exit_code == 0, result.stderr
    assert hits == [
        {
            "rule": "7d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10",
            "title": "Root",
            "events": [4],
            "group": {},
            "time": 1_767_225_641_000,
        },
        {
            "rule": "6d6b7c7e-9a57-4f0f-8f14-6a1a3b0c3a10",
            "title": "Brute force",
            "events": [0, 1, 3],
            "group": {"user.name": "a"},
            "time": 1_767_225_650_000,
        },
    ]


def test_logsource_selects_rules(tmp_path):
    """Only rules whose every named attribute is the events' meet them."""
    events = [{"result": "ok", "user": {"name": "root"}}]
    for given, count in (
        ("product=test", 0),
        ("product=test,category=login", 1),
        ("category=login,product=other", 0),
    ):
        result, hits = run(tmp_path, events, "--logsource", given)
        assert (result.exit_code, len(hits)) == (0, count)


def test_time_field_and_map(tmp_path):
    """Times from a field of the user's choice; field names through a map."""
    (tmp_path / "map.yml").write_text("product: test\nfields: {result: r, user.name: u}\n")
    events = [{"when": n, "time": 0, "r": "fail", "u": "a"} for n in (0, 70, 80, 90)]
    options = ("--time-field", "when", "--map", str(tmp_path / "map.yml"))
    result, hits = run(tmp_path, events, *options)
    assert result.exit_code == 0
    assert [(hit["events"], hit["time"]) for hit in hits] == [([1, 2, 3], 90_000)]
    result, hits = run(tmp_path, events, "--map", str(tmp_path / "map.yml"))
    assert [hit["events"] for hit in hits] == [[0, 1, 2, 3]]


def test_events_of_tenants_need_the_field_map(tmp_path):
    """OCSF does not call fields what rules call them: silence would look like no attack."""
    fields = "fields: {user.name: actor.user.name, result: status}"
    (tmp_path / "fieldmap.yml").write_text(f"product: test\n{fields}\n")
    events = [{"class_uid": 3002, "actor": {"user": {"name": "root"}}}]
    option = f"--map {tmp_path / 'fieldmap.yml'}"
    result, hits = run(tmp_path, events)
    assert (result.exit_code, hits, option in result.stderr) == (0, [], True)
    result, hits = run(tmp_path, events, *option.split())
    assert ([hit["title"] for hit in hits], result.stderr) == (["Root"], "")
    result, hits = run(tmp_path, [{"user": {"name": "eve"}}])
    assert (result.exit_code, hits, result.stderr) == (0, [], "")


def test_matches_without_time_are_told(tmp_path):
    """A correlation that cannot see times says so."""
    result, hits = run(tmp_path, [{"result": "fail", "user": {"name": "a"}}] * 3)
    assert (result.exit_code, hits) == (0, [])
    assert "3 matches have no time" in result.stderr


def test_lines_that_are_no_events(tmp_path):
    """The rest is matched; each is named with its line, and the status is 1."""
    root = {"user": {"name": "root"}}
    result, hits = run(tmp_path, [root, "{", "[1]", root])
    assert [hit["events"] for hit in hits] == [[0], [3]]
    assert result.exit_code == 1
    assert "events.ndjson:2: is no event" in result.stderr
    assert "events.ndjson:3: is no event: expected a JSON object, saw list" in result.stderr


def test_broken_rules(tmp_path):
    """Every mistake with its line, status 1, no hits."""
    broken = RULES.replace("{gte: 3}", "{gte: many}").replace("result: fail", "result|contans: x")
    result, hits = run(tmp_path, [{"user.name": "root"}], rules=broken)
    assert (result.exit_code, hits) == (1, [])
    assert "rules.yml:6: detection.sel.result|contans: Unknown modifier 'contans'" in result.stderr
    assert "rules.yml:15: correlation.condition: 'many' is no valid" in result.stderr


@pytest.mark.parametrize("options", [("--logsource", "kind=x"), ("--rules", "/no/such"), ("--x",)])
def test_wrong_usage(tmp_path, options):
    """What the command line cannot mean ends with 2."""
    result, _ = run(tmp_path, [], *options)
    assert result.exit_code == 2


def test_shipped_rules_on_raw_field_names(tmp_path):
    """Qumulo rules match events in their own field names without a map."""
    folder = Path(__file__).parents[2] / "rules" / "qumulo"
    event = {"operation": "fs_tree_delete", "status": "ok", "user": "AD\\a", "path": "/x/"}
    (tmp_path / "e.ndjson").write_text(json.dumps(event), encoding="utf-8")
    arguments = ["match", "--rules", str(folder), str(tmp_path / "e.ndjson")]
    result = CliRunner().invoke(app, arguments)
    assert [json.loads(line)["title"] for line in result.stdout.splitlines()] == [
        "Directory tree deleted"
    ]


def test_columns_take_the_type_of_their_values():
    """Numbers stay numbers, mixed values become text, objects become dotted names."""
    rows = [
        flat({"a": {"b": 1, "c": [1, "x", {"d": 2}]}, "e": None, "f": True}),
        flat({"a": {"b": "1"}, "f": False, "g": 2.5, "h": [{"d": 1}, {"d": [2, 3]}]}),
        flat({"big": 2**63}),
    ]
    columns = frame(rows).to_dict(as_series=False)
    assert columns == {
        "a.b": ["1", "1", None],
        "a.c": [["1", "x"], None, None],
        "a.c.d": [["2"], None, None],
        "f": [True, False, None],
        "g": [None, 2.5, None],
        "h.d": [None, ["1", "2", "3"], None],
        "big": [None, None, str(2**63)],
        "\0": [None] * 3,
    }


def test_long_numbers_keep_their_digits():
    """A 97-bit id is the text of its digits."""
    (lines,) = read_events([b'{"id": 140624751830626345080086044861}'])
    assert lines.events["id"].to_list() == ["140624751830626345080086044861"]
