"""What pages show can be copied: rules load, tests pass, parts fit where they belong.

Examples of northbound.yaml are looked at in tests/config/test_values.py, those of enrichment,
stages and normalizers beside the tests of these.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from app.checking import mistakes
from app.cli import app
from app.config.forms import keys_of
from app.config.lists import ListSettings
from app.config.model import Config
from app.pipeline_files import read_tests as read_pipeline_tests
from app.rule_streams import read_tests as read_streams
from app.rules import load_rules
from tests.docs.pages import PAGES, ROOT, Block, blocks, name
from topology.match.compile import read_field_map
from topology.match.placeholders import read_placeholders

BLOCKS = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]
HEAD = """\
version: 1
kafka: {embedded: {}}
sources: {qumulo: {format: qumulo}}
"""
PARTS = {
    "filters": HEAD + "tenants:\n  acme:\n    sources: [qumulo]\n",
    "fields": HEAD + "tenants:\n  acme:\n    sources: [qumulo]\n",
    "to": HEAD
    + "tenants: {acme: {sources: [qumulo]}}\ndeliveries:\n  - name: one\n    tenant: acme\n",
}
"""What a part of northbound.yaml belongs under, by the key that it begins with."""
ELSEWHERE = {"lists", "volumes"}
"""Parts of a rule and of docker-compose.yml."""
AWAY = ("_file: ", "_env: ", ".ca: ")
"""Secrets and certificates that examples name."""
PATH = re.compile(r"# (\S+\.yml)\n")


def kind(block: Block) -> str:
    """What a block shows; "" where nobody knows."""
    found: Any = next(iter(yaml.safe_load_all(block.text)))
    keys = set(found)
    if block.text.startswith(" "):
        return "part" if keys <= {*PARTS, *ELSEWHERE} else ""
    if keys <= set(keys_of(Config)):
        return "northbound.yaml"
    if "title" in keys:
        return "rule"
    if "tests" in keys:
        return "pipeline test" if block.page.name == "testing.md" else "streams"
    if {"format", "events"} <= keys:
        return "normalizer"
    if {"product", "fields"} <= keys:
        return "field map"
    return "placeholders" if all(isinstance(each, list) for each in found.values()) else ""


def of(wanted: str) -> list[Block]:
    """The blocks of a kind, of which there are some."""
    return [block for block in BLOCKS if kind(block) == wanted]


def test_every_example_is_of_a_kind_that_is_looked_at() -> None:
    """A new one is not left out."""
    assert [(name(each.page), each.text[:80]) for each in BLOCKS if not kind(each)] == []


@pytest.mark.parametrize("block", of("part"), ids=lambda block: name(block.page))
def test_parts_fit_where_they_belong(tmp_path: Path, block: Block) -> None:
    """Under a tenant or a delivery; where a part stands several times, each for itself."""
    first = next(iter(yaml.safe_load(block.text)))
    if first in ELSEWHERE:
        return
    file = tmp_path / "northbound.yaml"
    for part in re.split(rf"^(?=    {first}:)", block.text, flags=re.MULTILINE)[1:]:
        file.write_text(PARTS[first] + part, encoding="utf-8")
        found = mistakes(file, ingest=False, deliveries=True)
        assert [each for each in found if not any(away in each for away in AWAY)] == []


@pytest.mark.parametrize("page", dict.fromkeys(block.page for block in of("rule")), ids=name)
def test_rules_load(tmp_path: Path, page: Path) -> None:
    """With the rules that come along, and stand-ins for others that they name."""
    shipped = load_rules([ROOT / "rules" / "qumulo"]).rules
    there = {each.rule.name for each in (*shipped.events, *shipped.correlations)}
    named: dict[str, None] = {}
    titles: set[str] = set()
    lists: dict[str, Any] = {}
    for number, block in enumerate(each for each in of("rule") if each.page == page):
        (tmp_path / f"{number}.yml").write_text(block.text, encoding="utf-8")
        for rule in yaml.safe_load_all(block.text):
            titles.add(rule["title"])
            there.add(rule.get("name"))
            named |= dict.fromkeys(rule.get("correlation", {}).get("rules", ()))
            named |= dict.fromkeys(rule.get("northbound", {}).get("absent", ()))
    for block in of("northbound.yaml"):
        if block.page == page:
            lists |= yaml.safe_load(block.text).get("lists", {})
    for each in named:
        if each not in there:
            (tmp_path / f"{each}.yml").write_text(
                f"title: {each}\nname: {each}\nlogsource: {{product: example}}\n"
                "detection: {any: {operation: x}, condition: any}\n"
            )
    made = {
        key: ListSettings.model_validate(given, strict=False).active_list(key)
        for key, given in lists.items()
    }
    found = load_rules([ROOT / "rules" / "qumulo", tmp_path], lists=made)
    loaded = {each.rule.title for each in (*found.rules.events, *found.rules.correlations)}
    assert titles <= loaded


def test_the_first_rule_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/detection.md from top to bottom: the rule is checked, and passes its tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS:
        if block.page.name == "detection.md" and (path := PATH.match(block.text)) is not None:
            Path(path[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(path[1]).write_text(block.text, encoding="utf-8")
    shutil.copy(ROOT / "rules" / "qumulo" / "fieldmap.yml", "my-rules")
    for command in ("check", "test"):
        result = CliRunner().invoke(app, ["rules", command, "my-rules"])
        assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert result.stdout.splitlines() == [
        "ok   payroll: somebody else reads",
        "ok   payroll: their owners read",
    ]


def test_tests_of_pipelines_and_rules_can_be_read(tmp_path: Path) -> None:
    """No key and no value in them is refused."""
    for number, block in enumerate((*of("pipeline test"), *of("streams"))):
        file = tmp_path / f"{number}.yml"
        file.write_text(block.text, encoding="utf-8")
        if kind(block) == "streams":
            assert read_streams(file)
            continue
        read = read_pipeline_tests(file)
        assert (bool(read.tests), read.problems) == (True, [])


def test_what_stands_beside_rules_can_be_read() -> None:
    """Field maps and placeholders."""
    for block in of("field map"):
        assert read_field_map(name(block.page), block.text)
    for block in of("placeholders"):
        assert read_placeholders(name(block.page), block.text)
