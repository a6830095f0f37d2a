"""Enrichments in northbound.yaml: every mistake with its line, before anything starts."""

import re
from pathlib import Path

import pytest

from app.config import ConfigError, load
from app.planning import build_plan
from topology.enrich import Enricher

ROOT = Path(__file__).parents[2]
FILE = """\
version: 1
kafka: {{embedded: {{}}}}
sources: {{qumulo: {{format: qumulo}}}}
{stages}
tenants:
  acme: {{sources: [qumulo]}}
"""

TABLE = "dictionary: a.csv, key: ip, field: x, as: a"
QUMULO = "qumulo: path, field: file.uid, account: a, addresses: [10.0.0.1]"


def enrichers(folder: Path, stages: str) -> list[Enricher]:
    """The enrichers of a configuration with these lines, which begin in line 4."""
    path = folder / "northbound.yaml"
    path.write_text(FILE.format(stages=stages), encoding="utf-8")
    return build_plan(load(path), {}).all_enrichers


def test_the_page_about_enrichment_shows_what_works(tmp_path: Path) -> None:
    """The files and the examples of docs/enrichment.md are a configuration that starts."""
    page = (ROOT / "docs" / "enrichment.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"`([^`\n]+)`:\n\n```(?:csv|json)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    examples = re.findall(r"```yaml\n(enrich:\n.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        assert enrichers(tmp_path, example)


@pytest.mark.parametrize(
    ("stages", "line", "key", "told"),
    [
        ("enrich: [{as: a}]", 4, "enrich[0]", "saw none, expected exactly one of dictionary"),
        (
            "enrich:\n- dictionary:\n  key: ip\n  field: x\n  as: a",
            5,
            "enrich[0]",
            "saw none, expected exactly one of dictionary",
        ),
        ("enrich:\n- {dictionary: a.csv, field: x}", 5, "enrich[0]", "dictionary needs key and as"),
        ("enrich: [{dictionary: a.csv, key: ip, as: a}]", 4, "enrich[0]", "either field or fields"),
        (
            "enrich: [{dictionary: a.csv, key: ip, field: x, fields: [y], as: a}]",
            4,
            "enrich[0]",
            "either field or fields",
        ),
        (
            "enrich: [{dictionary: a.csv, key: ip, field: x, as: a, match: cidr}]",
            4,
            "enrich[0].match",
            "saw 'cidr'",
        ),
        (
            "enrich: [{threats: a.csv, as: a, match: exact}]",
            4,
            "enrich[0]",
            "saw match, but threats has as, key, attributes",
        ),
        ("enrich: [{geoip: a.csv}]", 4, "enrich[0]", "geoip needs either field or fields"),
        ("enrich: [{topic: a, key: k, field: x}]", 4, "enrich[0]", "topic needs as"),
        (
            "enrich: [{topic: A.b, key: k, field: x, as: a}]",
            4,
            "enrich[0].topic",
            "saw 'A.b', expected lower-case letters",
        ),
        (
            "enrich:\n- {dictionary: a.csv, key: ip, field: x, as: a, tenant: none}",
            5,
            "enrich[0].tenant",
            "saw 'none', expected one of the tenants: acme",
        ),
        (
            f"enrich:\n- {{{TABLE}, tenant: acme}}\n- {{{TABLE}}}",
            5,
            "enrich[0].as",
            "its own name",
        ),
        (
            "enrich: [{geoip: a.csv, field: src_endpoint.ip, tenant: acme}]",
            4,
            "enrich[0]",
            "saw tenant, but geoip has",
        ),
        ("enrich: [{dns: reverse}]", 4, "enrich[0]", "dns needs either field or fields"),
        ("enrich: [{dns: both, field: src_endpoint.ip}]", 4, "enrich[0].dns", "saw 'both'"),
        (
            "enrich: [{dns: reverse, field: src_endpoint.hostname}]",
            4,
            "enrich[0]",
            "saw src_endpoint.hostname, expected attributes of objects with an address",
        ),
        (
            "enrich:\n- dns: reverse\n  field: src_endpoint.ip\n  servers: [10.0.0.53, ns.example]",
            7,
            "enrich[0].servers[1]",
            "saw 'ns.example', expected an IP address, or one with a port",
        ),
        (
            "enrich:\n- dns: reverse\n  field: src_endpoint.ip\n  wait: 1m",
            7,
            "enrich[0].wait",
            "saw '1m', expected 5s at most",
        ),
        (
            "enrich:\n- dns: reverse\n  field: src_endpoint.ip\n  limits:\n    rate: 0",
            8,
            "enrich[0].limits.rate",
            "saw 0",
        ),
        (
            "enrich: [{geoip: a.csv, field: src_endpoint.ip, wait: 1s}]",
            4,
            "enrich[0]",
            "saw wait, but geoip has",
        ),
        (
            "enrich:\n"
            + "".join(f"- {{dns: reverse, field: {f}.ip, servers: [127.0.0.1]}}\n" for f in "xy"),
            6,
            "enrich[1].as",
            "saw 'dns_reverse' twice",
        ),
        (
            "enrich: [{qumulo: path, field: x, token_env: T}]",
            4,
            "enrich[0]",
            "needs url and account and addresses",
        ),
        (
            f"enrich: [{{{QUMULO}, url: 'https://n'}}]",
            4,
            "enrich[0]",
            "qumulo needs either token_file or token_env",
        ),
        (
            f"enrich: [{{{QUMULO}, url: 'http://n', token_env: T}}]",
            4,
            "enrich[0].url",
            "saw 'http://n', expected https://host:port without a path",
        ),
        (
            f"enrich: [{{{QUMULO}, url: 'https://n', token_env: T}}]".replace("t: a,", "t: 'a*',"),
            4,
            "enrich[0].account",
            "expected text without * and ?",
        ),
        ("enrich: [{constant: 1}]", 4, "enrich[0]", "constant needs to"),
        ("enrich: [{from: a, to: raw_data}]", 4, "enrich[0].to", "cannot be changed"),
        ("enrich: [{from: a, to: unmapped.ext}]", 4, "enrich[0].to", "of the line are kept"),
        ("enrich: [{constant: a, to: device.type_id}]", 4, "enrich[0].constant", "gives text"),
        ("enrich:\n- to: x\n  template: '{a'", 6, "enrich[0].template", "every brace in a pair"),
        ("enrich:\n- {template: a, to: x}", 5, "enrich[0].template", "at least one attribute"),
        (
            "enrich: [{dictionary: none.csv, key: ip, field: x, as: a}]",
            4,
            "enrich[0].dictionary",
            "there is nothing at",
        ),
        (
            "enrich:\n"
            + "".join(f"- {{dictionary: a.csv, key: ip, field: {f}, as: a}}\n" for f in "xy"),
            6,
            "enrich[1].as",
            "its own name",
        ),
    ],
)
def test_mistakes(tmp_path: Path, stages: str, line: int, key: str, told: str) -> None:
    """File, line, key, what was seen and what was expected."""
    (tmp_path / "a.csv").write_text("ip,owner\n10.0.0.1,x\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        enrichers(tmp_path, stages)
    (problem,) = caught.value.problems
    assert f"northbound.yaml:{line}: {key}: " in problem
    assert told in problem


def test_a_key_that_cannot_match_is_named_with_its_line(tmp_path: Path) -> None:
    """A typing error in a table of networks does not wait for the event that would show it."""
    table = tmp_path / "a.csv"
    table.write_text("ip,owner\n10.0.0.0/8,x\n10.0.0.300,y\n10.0.0.0/8,z\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        enrichers(
            tmp_path, "enrich: [{dictionary: a.csv, key: ip, field: x, as: a, match: network}]"
        )
    assert caught.value.problems == [
        f"{table}:3: ip: saw '10.0.0.300', expected an address or a network such as 10.1.0.0/16",
        f"{table}:4: ip: '10.0.0.0/8' is given twice, first in line 2; keep one",
    ]


def test_answers_do_not_decide_which_events_are_aggregated(tmp_path: Path) -> None:
    """What live look-ups fill, or what is made of that, is told with the line that asks for it."""
    path = tmp_path / "northbound.yaml"
    path.write_text(
        """\
version: 1
kafka: {embedded: {}}
sources:
  q:
    format: qumulo
    aggregate:
    - name: reads
      by: [src_endpoint.ip, src_endpoint.hostname]
      window: 1m
    - name: others
      by: [unmapped.copy]
      window: 1m
      when:
        known:
          "@enrich.dns_reverse.hostname|endswith": .example
        condition: known
enrich:
- {dns: reverse, field: src_endpoint.ip, servers: [127.0.0.1]}
- {from: src_endpoint.hostname, to: unmapped.copy}
""",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        build_plan(load(path), {})
    assert [each.partition(", which live")[0] for each in caught.value.problems] == [
        f"{path}:8: sources.q.aggregate[0].by[1]: saw 'src_endpoint.hostname'",
        f"{path}:11: sources.q.aggregate[1].by[0]: saw 'unmapped.copy'",
        f"{path}:13: sources.q.aggregate[1].when: saw '@enrich.dns_reverse.hostname'",
    ]


def test_waits_that_would_stall_a_worker(tmp_path: Path) -> None:
    """A batch of each source may be held one after the other, for each enrichment."""
    path = tmp_path / "northbound.yaml"
    text = """\
version: 1
kafka: {embedded: {}}
sources: {a: {format: plain}, b: {format: plain}, c: {format: plain}}
enrich:
- {dns: reverse, field: x.ip, as: a, servers: ["::1"], wait: 2s}
- {dns: reverse, field: y.ip, as: b, servers: ["::1"], wait: 2s}
"""
    path.write_text(text, encoding="utf-8")
    assert build_plan(load(path), {})
    path.write_text(text.replace("wait: 2s", "wait: 2500ms"), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        build_plan(load(path), {})
    (problem,) = caught.value.problems
    assert problem.startswith(
        f"{path}:6: enrich[1].wait: saw waits of 5s in all, expected at most 4s, as a batch of "
        "each of 3 sources"
    )
