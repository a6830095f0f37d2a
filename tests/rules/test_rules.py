"""Every shipped rule is run over the streams beside it, from audit line to final alert."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
import yaml

from app.rule_streams import RuleTest, read_tests
from app.rule_tests import differences, final_alerts
from app.rules import FIELD_MAP, load_rules
from app.rules_page import alerting, read_documents, rules_page
from topology.formats import decode
from topology.match.compile import RuleSet
from topology.rules import LogSource

FOLDER = Path(__file__).parents[2] / "rules" / "qumulo"
FILES = [path for path in sorted(FOLDER.glob("*.yml")) if path.name != FIELD_MAP]
TESTS = [test for path in sorted((FOLDER / "tests").glob("*.yml")) for test in read_tests(path)]
QUMULO = LogSource("qumulo", "audit")


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    """All rules of the folder, compiled together as a worker does."""
    return load_rules([FOLDER], None)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.rule}: {test.name}")
def test_stream(rules: RuleSet, test: RuleTest) -> None:
    """A stream leads to exactly the alerts its test names, of whichever rule."""
    assert differences(test.alerts, final_alerts(rules, test)) == []


def test_differences_are_told(rules: RuleSet) -> None:
    """A test that expects something else says what came instead."""
    test = next(test for test in TESTS if test.rule == "mass_delete_by_user" and test.alerts)
    found = final_alerts(rules, test)
    assert differences((), found)
    assert differences(test.alerts, [])
    wrong = replace(test.alerts[0], count=1)
    (told,) = differences((wrong,), found)
    assert "expected count 1" in told


ALERTING = [rule for path in FILES for rule in alerting(read_documents(path))]


@pytest.mark.parametrize("rule", ALERTING, ids=lambda rule: rule["title"])
def test_rule_says_what_an_analyst_needs(rule: dict[str, Any]) -> None:
    """A rule that alerts names its threshold's source, technique, level and false positives."""
    assert rule["references"]
    assert all(url.startswith("https://") for url in rule["references"])
    assert rule["falsepositives"]
    assert "Threshold: " in rule["description"]
    assert rule["level"] in ("low", "medium", "high", "critical")
    assert any(tag.startswith("attack.t1") for tag in rule["tags"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rule_is_tested_from_both_sides(path: Path) -> None:
    """Beside a rule is a stream that makes it alert, and one that makes no rule alert."""
    titles = {rule["title"] for rule in alerting(read_documents(path))}
    tests = [test for test in TESTS if test.rule == path.stem]
    assert titles == {alert.title for test in tests for alert in test.alerts} & titles
    assert any(not test.alerts for test in tests)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rule_has_identity(path: Path) -> None:
    """Every document has an id of its own, an author, a date, a status and what it is about."""
    for rule in read_documents(path):
        assert UUID(rule["id"]).version == 4
        assert {"title", "description", "author", "date", "status", "level"} <= rule.keys()


def test_base_rules_do_not_alert(rules: RuleSet) -> None:
    """What a correlation counts gives no alert of its own; every rule is for Qumulo's log."""
    alone = {rule.rule.title for rule in rules.rules.events if rule.alerts}
    titled = {rule["title"] for rule in ALERTING}
    assert titled == alone | {correlation.rule.title for correlation in rules.rules.correlations}
    assert all(rule.logsource == QUMULO for rule in rules.rules.events)
    assert rules.warnings == ()


def test_one_incident_is_one_rules(rules: RuleSet) -> None:  # noqa: ARG001  # they compile
    """Rules that must not fire together draw the line by the same lists."""
    known = base("ransomware_extension")["detection"]["rename"]["target_extension"]
    unusual = base("mass_rename_to_new_extension")["detection"]
    assert known == unusual["filter_known_ransomware"]["target_extension"]
    wording = base("ransom_note")["detection"]["wording"]
    assert wording == base("readme_in_many_directories")["detection"]["filter_wording"]
    denied = set(base("denied_burst_by_user")["detection"]["selection"]["status"])
    assert denied > set(base("denied_burst_by_path")["detection"]["selection"]["status"])


def base(name: str) -> dict[str, Any]:
    """The rule that a correlation counts."""
    return read_documents(FOLDER / f"{name}.yml")[1]


def test_page_is_current() -> None:
    """docs/rules.md is what `python -m app.rules_page` prints."""
    page = FOLDER.parents[1] / "docs" / "rules.md"
    assert rules_page() == page.read_text(encoding="utf-8")


def test_field_map_names_columns_that_exist() -> None:
    """Every column of the field map is one that the normalizer makes or may make."""
    fields = yaml.safe_load((FOLDER / FIELD_MAP).read_text(encoding="utf-8"))["fields"]
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
    columns = columns_of(test)
    missing = {
        column
        for entry in fields.values()
        for column in ([entry] if isinstance(entry, str) else entry)
        if column not in columns
    }
    assert missing == set()


def columns_of(test: RuleTest) -> set[str]:
    """The event columns that a stream gives."""
    raw = pl.Series([line for _, line in test.lines()], dtype=pl.Binary)
    frame = pl.DataFrame({"row": np.arange(len(raw), dtype=np.uint32), "raw": raw})
    return set(decode("qumulo", frame, {}).events.columns)
