"""Mutations and filters in northbound.yaml: every mistake with its line, before anything starts."""

import re
from pathlib import Path

import pytest

from app.config import ConfigError, load
from app.planning import build_plan
from topology.plan import SourcePlan

ROOT = Path(__file__).parents[2]
FILE = """\
version: 1
kafka: {{embedded: {{}}}}
sources:
  qumulo:
    format: {format}
{stages}
tenants:
  acme: {{sources: [qumulo]}}
"""


def source(folder: Path, stages: str, name: str = "qumulo") -> SourcePlan:
    """The source of a configuration with these lines, which begin in line 6, and this format."""
    path = folder / "northbound.yaml"
    path.write_text(FILE.format(stages=stages, format=name), encoding="utf-8")
    return build_plan(load(path), {}).sources["qumulo"]


def test_the_page_about_stages_shows_what_works(tmp_path: Path) -> None:
    """The example of docs/stages.md is a source that starts."""
    page = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n.*?format: qumulo\n(.*?)```", page, re.DOTALL)
    assert found is not None
    plan = source(tmp_path, found[1])
    assert [(each.name, each.field, each.target) for each in plan.mutations] == [
        ("lower", "actor.user.name", "actor.user.name"),
        ("regexp", "file.path", "unmapped.share"),
        ("replace", "file.path", "file.path"),
    ]
    assert plan.filters
    assert plan.aggregations is not None
    (reads,) = plan.aggregations.entries
    assert (reads.window_ms, reads.limit, reads.when, reads.originals) == (60_000, 1_000, 0, False)


@pytest.mark.parametrize(
    ("stages", "line", "key", "told"),
    [
        ("    mutate: [{field: a}]", 6, "mutate[0]", "saw none, expected exactly one of lower"),
        ("    mutate: [{field: a, lower: true, cast: text}]", 6, "mutate[0]", "saw lower and cast"),
        ("    mutate:\n    - {field: a, regexp: '('}", 7, "mutate[0].regexp", "unclosed group"),
        ("    mutate: [{field: raw_data, lower: true}]", 6, "mutate[0].field", "cannot be changed"),
        ("    mutate: [{field: a, to: row, lower: true}]", 6, "mutate[0].to", "cannot be changed"),
        ("    mutate: [{field: a, to: file, lower: true}]", 6, "mutate[0].to", "is an object"),
        ("    mutate: [{field: a, to: time, lower: true}]", 6, "mutate[0].lower", "gives text"),
        ("    mutate: [{field: a, replace: {with: b}}]", 6, "mutate[0].replace", "text or pattern"),
        ("    mutate: [{field: a, cast: date}]", 6, "mutate[0].cast", "saw 'date'"),
        ("    filters: [{name: a}]", 6, "filters[0]", "either keep or drop"),
        (
            "    filters: [{name: a, drop: {file.path: /tmp}}]",
            6,
            "filters[0].drop.file.path",
            "saw '/tmp', expected attributes under a name, such as selection: {file.path: /tmp}",
        ),
        (
            "    filters:\n    - name: a\n      drop:\n        x:\n          b|nope: 1",
            10,
            "filters[0].drop.x.b|nope",
            "Unknown modifier",
        ),
        (
            "    filters:\n    - {name: a, keep: {x: {y: 1}}}\n    - {name: a, keep: {x: {y: 1}}}",
            8,
            "filters[1].name",
            "own name",
        ),
        ("    aggregate: [{name: a, by: [], window: 1m}]", 6, "aggregate[0].by", "at least 1 item"),
        ("    aggregate: [{name: a, by: [b]}]", 6, "aggregate[0].window", "missing"),
        (
            "    aggregate: [{name: a, by: [b], window: 0s}]",
            6,
            "aggregate[0].window",
            "more than 0s",
        ),
        (
            "    aggregate:\n    - name: a\n      by: [b]\n      window: 1m\n      limit: 0",
            10,
            "aggregate[0].limit",
            "saw 0",
        ),
        (
            "    aggregate:\n    - {name: b, by: [c], window: 1m, when: {x: {d|nope: 1}}}",
            7,
            "aggregate[0].when.x.d|nope",
            "Unknown modifier",
        ),
        (
            "    aggregate:\n" + "    - {name: a, by: [b], window: 1m}\n" * 2,
            8,
            "aggregate[1].name",
            "each aggregation of a source its own name",
        ),
        (
            "    aggregate:\n    - name: a\n      by: [b, row]\n      window: 1m",
            8,
            "aggregate[0].by[1]",
            "saw 'row', expected an attribute",
        ),
    ],
)
def test_mistakes(tmp_path: Path, stages: str, line: int, key: str, told: str) -> None:
    """File, line, key, what was seen and what was expected."""
    with pytest.raises(ConfigError) as caught:
        source(tmp_path, stages)
    (problem,) = caught.value.problems
    assert f"northbound.yaml:{line}: sources.qumulo.{key}: " in problem
    assert told in problem


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("rfc3164", "timezone: Europe/Brelin", "saw 'Europe/Brelin', expected an IANA time zone"),
        ("auto", "timezone: Europe", "saw 'Europe', expected an IANA time zone"),
        ("cef", "timezone: /etc/passwd", "saw '/etc/passwd', expected an IANA time zone"),
        ("rfc3164", "reference: 2025-02-29", "saw '2025-02-29', expected a day"),
        ("kv", "field_delimiter: 123456789", "expected what is between pairs"),
        (
            "kv",
            "delimiter: x",
            "saw 'delimiter', expected one of the options of kv: timezone, reference",
        ),
        ("plain", "timezone: UTC", "saw 'timezone', expected one of the options of plain: none"),
    ],
)
def test_options_are_checked(tmp_path: Path, name: str, options: str, told: str) -> None:
    """A zone, a day or an option that does not exist stops the start with file, line and key."""
    key, _, value = options.partition(": ")
    with pytest.raises(ConfigError) as caught:
        source(tmp_path, f"    options:\n      {key}: '{value}'", name)
    (problem,) = caught.value.problems
    assert f"northbound.yaml:7: sources.qumulo.options.{key}: " in problem
    assert told in problem


def test_options_that_are_right(tmp_path: Path) -> None:
    """They reach the parser, over the source's own zone."""
    given = "    timezone: UTC\n    options: {timezone: Asia/Tokyo, reference: '2019-03-01'}"
    plan = source(tmp_path, given, "rfc3164")
    assert dict(plan.options) == {"timezone": "Asia/Tokyo", "reference": "2019-03-01"}
