"""Every shipped rule is run over the streams beside it, from log line to final alert."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
import yaml

from app.normalizer_files import load_normalizer
from app.rule_streams import Line, RuleTest, read_tests
from app.rule_tests import differences, final_alerts
from app.rules import FIELD_MAP, PLACEHOLDERS, load_rules
from app.rules_page import FOLDER, alerting, packs, read_documents, rule_files, rules_page
from topology.formats import decode
from topology.match.compile import RuleSet
from topology.rules import LogSource

QUMULO = FOLDER / "qumulo"
OWN = FOLDER / "northbound"
"""Tested with the ingest agent, whose events they are about (tests/ingest)."""
FILES = [path for pack in packs() for path in rule_files(pack)]
TESTED = [path for path in FILES if path.parent != OWN]
TESTS = [
    (pack, test)
    for pack in packs()
    for path in sorted((pack / "tests").glob("*.yml"))
    for test in read_tests(path)
]
LOG_SOURCES = {
    "asa": LogSource("cisco", "asa"),
    "fortigate": LogSource("fortinet", "fortigate"),
    "northbound": LogSource("northbound", "ingest"),
    "qumulo": LogSource("qumulo", "audit"),
    "qumulo-hunting": LogSource("qumulo", "audit"),
    "sshd": LogSource("linux", "sshd"),
    "sudo": LogSource("linux", "sudo"),
    "windows": LogSource("windows", "security"),
}
RULES: dict[Path, RuleSet] = {}


def rules_of(pack: Path) -> RuleSet:
    """All rules of a folder, compiled together as a worker does."""
    if pack not in RULES:
        RULES[pack] = load_rules([pack], None)
    return RULES[pack]


@pytest.mark.parametrize(
    ("pack", "test"), TESTS, ids=[f"{pack.name}/{test.rule}: {test.name}" for pack, test in TESTS]
)
def test_stream(pack: Path, test: RuleTest) -> None:
    """A stream leads to exactly the alerts its test names, of whichever rule of the folder."""
    assert differences(test.alerts, final_alerts(rules_of(pack), test)) == []


def test_differences_are_told() -> None:
    """A test that expects something else says what came instead."""
    test = next(test for _, test in TESTS if test.rule == "mass_delete_by_user" and test.alerts)
    found = final_alerts(rules_of(QUMULO), test)
    assert differences((), found)
    assert differences(test.alerts, [])
    wrong = replace(test.alerts[0], count=1)
    (told,) = differences((wrong,), found)
    assert "expected count 1" in told


ALERTING = [(path, rule) for path in FILES for rule in alerting(read_documents(path))]


@pytest.mark.parametrize("rule", [rule for _, rule in ALERTING], ids=lambda rule: rule["title"])
def test_rule_says_what_an_analyst_needs(rule: dict[str, Any]) -> None:
    """A rule that alerts names its threshold's source, technique, level and false positives."""
    assert rule["references"]
    assert all(url.startswith("https://") for url in rule["references"])
    assert rule["falsepositives"]
    assert "Threshold: " in rule["description"]
    assert rule["level"] in ("low", "medium", "high", "critical")
    assert any(tag.startswith("attack.t1") for tag in rule["tags"])


@pytest.mark.parametrize("path", TESTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_rule_is_tested_from_both_sides(path: Path) -> None:
    """Beside a rule is a stream that makes it alert, and one that makes no rule alert."""
    titles = {rule["title"] for rule in alerting(read_documents(path))}
    tests = [test for pack, test in TESTS if (pack, test.rule) == (path.parent, path.stem)]
    assert titles == {alert.title for test in tests for alert in test.alerts} & titles
    assert any(not test.alerts for test in tests)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_rule_has_identity(path: Path) -> None:
    """Every document has an id of its own, an author, a date, a status and what it is about."""
    for rule in read_documents(path):
        assert UUID(rule["id"]).version == 4
        assert {"title", "description", "author", "date", "status", "level"} <= rule.keys()


@pytest.mark.parametrize("pack", packs(), ids=lambda pack: pack.name)
def test_base_rules_do_not_alert(pack: Path) -> None:
    """What a correlation counts gives no alert of its own; rules are for their folder's source."""
    rules = rules_of(pack)
    alone = {rule.rule.title for rule in rules.rules.events if rule.alerts}
    alone |= {entry.rule.title for entry in rules.rules.correlations if entry.alerts}
    assert {rule["title"] for path, rule in ALERTING if path.parent == pack} == alone
    if pack.name != "cross-source":
        assert {rule.logsource for rule in rules.rules.events} == {LOG_SOURCES[pack.name]}
    assert rules.warnings == ()


def test_all_packs_load_together() -> None:
    """No two folders have an id or a name in common, and no field map is in another's way."""
    rules = load_rules([FOLDER], None)
    assert rules.warnings == ()
    count = len(rules.rules.events) + len(rules.rules.correlations)
    assert count == sum(len(read_documents(path)) for path in FILES)


def test_one_incident_is_one_rules() -> None:
    """Rules that must not fire together draw the line by the same lists."""
    known = base("ransomware_extension")["detection"]["rename"]["target_extension"]
    unusual = base("mass_rename_to_new_extension")["detection"]
    appended = base("rename_to_many_new_extensions")["detection"]
    created = read_documents(QUMULO / "encrypted_copies.yml")[3]["detection"]
    for name in ("filter_common", "filter_known_ransomware"):
        assert unusual[name] == appended[name]
        assert unusual[name]["target_extension"] == created[name]["extension"]
    assert known == unusual["filter_known_ransomware"]["target_extension"]
    assert unusual["filter_temporary"] == created["filter_temporary"]
    wording = base("ransom_note")["detection"]["wording"]
    assert wording == base("readme_in_many_directories")["detection"]["filter_wording"]
    denied = set(base("denied_burst_by_user")["detection"]["selection"]["status"])
    assert denied > set(base("denied_burst_by_path")["detection"]["selection"]["status"])


def base(name: str) -> dict[str, Any]:
    """The rule that a correlation counts."""
    return read_documents(QUMULO / f"{name}.yml")[1]


def test_own_values_of_placeholders(tmp_path: Path) -> None:
    """A later folder names canaries and bulk readers; what these read is no mass read."""
    own = "canary_paths: [/finance/_2019/*]\nbulk_readers: ['*svc-backup', 10.9.9.9]\n"
    (tmp_path / PLACEHOLDERS).write_text(own, encoding="utf-8")
    rules = load_rules([QUMULO, tmp_path], None)
    canary = "/finance/_2019/a.xlsx"
    events = [
        {"operation": "fs_read_data", "path": canary},
        {"operation": "fs_read_data", "path": canary, "user": r"AD\svc-backup"},
        {"operation": "fs_read_data", "path": canary, "user_ip": "10.9.9.9"},
        {"operation": "fs_delete", "path": canary, "user": r"AD\svc-backup"},
        *(
            {"operation": "fs_read_data", "path": f"/a/{n}", "user": user, "user_ip": address}
            for user, address in ((r"AD\svc-backup", "10.1.1.1"), (r"AD\indexer", "10.9.9.9"))
            for n in range(1200)
        ),
    ]
    found = final_alerts(rules, RuleTest("", "", events))
    assert [each["finding_info"]["title"] for each in found] == ["Canary path touched"] * 2


@pytest.mark.parametrize(
    ("lines", "event", "told"),
    [
        ("", "{line: gone}", "saw line 'gone', expected one of ['a']"),
        ("", "{line: a, ip: 10.0.0.1, port: 1}", "saw ['port']"),
        ("", "{line: a}", "nothing is said about ['ip'], which the line has"),
        ("normalizer: nothing,", "{line: a, ip: 10.0.0.1}", "or one of cisco-asa, fortigate"),
        ("source: sshd,", "{line: a, ip: 10.0.0.1}", "lines.a.source: unknown key"),
        ("", "{operation: fs_open, port: 1}", "saw ['port']"),
    ],
)
def test_mistakes_in_streams_are_told(tmp_path: Path, lines: str, event: str, told: str) -> None:
    """A line or a value that is not there, or a normalizer, stops the test and says why."""
    file = tmp_path / "test.yml"
    text = f"lines: {{a: {{{lines} line: 'from {{ip}}'}}}}\n"
    text += f"tests: [{{name: t, events: [{event}], alerts: []}}]\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r".") as error:
        read_tests(file)[0].lines()
    assert told in str(error.value)


def test_page_is_current() -> None:
    """docs/rules.md is what `python -m app.rules_page` prints."""
    page = FOLDER.parent / "docs" / "rules.md"
    assert rules_page() == page.read_text(encoding="utf-8")


def test_hunting_reads_the_same_fields() -> None:
    """The folder can be loaded alone, so it has a field map of its own, which is the other's."""
    maps = [QUMULO / FIELD_MAP, FOLDER / "qumulo-hunting" / FIELD_MAP]
    assert maps[0].read_bytes() == maps[1].read_bytes()


def test_field_map_of_qumulo_names_columns_that_exist() -> None:
    """Every column of the field map is one that the normalizer makes or may make."""
    fields = yaml.safe_load((QUMULO / FIELD_MAP).read_text(encoding="utf-8"))["fields"]
    for logged in ("operation", "status", "user", "user_ip", "protocol", "object_id", "path"):
        assert logged in fields
    test = RuleTest(
        "",
        "",
        [
            {"operation": "fs_rename", "path": "/a/b.txt", "target_path": "/a/c.doc"},
            {"operation": "tree_delete_start", "path": "/a/", "target_path": "/b"},
            {"operation": "fs_open", "user_ip": "gateway"},
        ],
    )
    (changed,) = [t for p, t in TESTS if p == QUMULO and t.name == "the owner of fifty files"]
    missing = columns(fields) - columns_of([*test.lines(), *changed.lines()])
    assert missing == set()


def columns(fields: dict[str, str | list[str]]) -> set[str]:
    """The columns of a field map."""
    found = [[entry] if isinstance(entry, str) else entry for entry in fields.values()]
    return {column for entry in found for column in entry}


def columns_of(lines: list[Line]) -> set[str]:
    """The event columns that lines give."""
    found: set[str] = set()
    for normalizer in {line.normalizer for line in lines}:
        raw = pl.Series([line.text for line in lines if line.normalizer == normalizer])
        frame = pl.DataFrame({"row": np.arange(len(raw), dtype=np.uint32), "raw": raw})
        if normalizer is None:
            found |= set(decode("qumulo", frame, {}).events.columns)
            continue
        loaded = load_normalizer(normalizer, "UTC")
        frame = frame.with_columns(received=pl.lit(lines[0].time))
        decoded = decode(loaded.format, frame, loaded.options, loaded.normalizer)
        assert decoded.failures.height == 0
        found |= set(decoded.events.columns)
    return found


@pytest.mark.parametrize(
    "pack",
    [pack for pack in packs() if not (pack / FIELD_MAP).exists()],
    ids=lambda pack: pack.name,
)
def test_rules_without_a_field_map_name_columns_that_exist(pack: Path) -> None:
    """Each column that they look at or group by is one that the lines of their tests give."""
    rules = rules_of(pack).rules
    named = {column for rule in rules.events for column in rule.columns}
    fields = [field for each in rules.correlations for field in each.group_columns]
    fields += [field for each in rules.correlations for field in each.value_columns]
    named |= {column for field in fields for columns in field for column in columns}
    lines = [line for folder, test in TESTS if folder == pack for line in test.lines()]
    assert named <= columns_of(lines)
