"""All that is wrong with a configuration is told in one message: nobody starts five times to find
five mistakes, and nobody looks for one that is gone when another is mended."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from app.checking import mistakes
from app.cli import app
from app.commands.ingest import _everything_wrong
from app.config import ConfigError, load
from app.config.deliveries import FORMATS
from topology.northbound import SERIALIZERS

FILES = {
    "northbound.yaml": """\
version: 1
kafka:
  embeded: {data: ./data, heap: 1GB}
sources:
  nas: {fromat: qumuloo, retension: 7}
  fw:
    format: cefx
    partitions: none
    filters: [{name: x, drop: {sel: {a|nope: 1}}}]
    options: {delimiter: x}
  own: {normalizer: own.yaml}
  lost: {normalizer: nowhere.yaml}
  both:
    format: cef
    normalizer: own.yaml
    mutate: [{field: raw_data, lower: true}]
listeners:
  - {protocol: tpc, listen: 0.0.0.0:5514, source: nas}
  - {protocol: tcp, listen: 0.0.0.0:5515, source: nope, spool: 5, threads: 2}
  - {protocol: tcp, listen: 0.0.0.0:5515, source: nas, max_lines: 10}
  - {protocol: tcp, listen: '5516', source: fw}
enrich:
  - {dictionary: gone.csv, key: ip, field: src_endpoint.ip, as: gone}
  - {dictionary: assets.csv, key: ip, field: src_endpoint.ip, as: asset}
  - {dictionary: assets.csv, key: ip, as: nothing}
rules: [rules, rules/typo]
lists:
  blocked: {key: user}
tenants:
  acme: {sources: [nas, fw], format: ocsf, mask: {time: drop}, rules: [r]}
  Bad: {sources: [nas]}
  none: {mask: {time: drop}}
deliveries:
  - {name: d, tenant: nobody, to: {type: file, path: x, size: 1}}
  - {name: d, tenant: beta, to: {type: syslog, addresses: [h:514], tls: {ca: gone.pem}}}
  - {name: e, tenant: Bad, to: {type: fax}}
responses:
  - {name: r, tenant: acme, rules: [unheard], where: {x: {b|no: 1}}, to: {type: topic, topic: x y}}
workers: {count: two}
workers: {count: 3, standby_replicas: -1}
""",
    "tenants.d/beta.yaml": """\
sources: [nas, x]
feed: [events, alerts]
fields: {keep: [row]}
""",
    "tenants.d/gamma.yaml": "sources: [nas\n",
    "own.yaml": """\
name: Own
version: 1.0
product: {name: x}
format: kv2
optons: {}
events:
  - class: Nothing
    set: {a: {lower: true}}
""",
    "assets.csv": "ip,owner\n10.0.0.1,a,b\n10.0.0.1\n",
    "rules/list.yml": """\
title: Adds to a list that is broken
id: 4a9f1a3e-0000-4000-8000-000000000001
logsource: {product: qumulo}
detection: {sel: {operation: fs_delete}, condition: sel}
extensions: {lists: [{add: blocked, key: [user]}]}
""",
    "rules/tests/list.yml": """\
lines:
  a: {line: 'from {ip}', normalizer: nothing}
tests:
  - {name: t, events: [{operation: fs_open, port: 1}], alert: []}
  - {name: u, events: [{line: gone}, {operation: x, every: 5}], alerts: [{titel: T}]}
""",
    "rules/wrong.yml": """\
title: Has a modifier that there is not
logsource: {product: qumulo}
detection: {sel: {a|nope: 1}, condition: sel}
""",
}

EXPECTED = [
    ("northbound.yaml:3: kafka.embeded: ", "did you mean embedded?"),
    ("northbound.yaml:3: kafka.embeded.heap: ", "saw '1GB', expected"),
    ("northbound.yaml:5: sources.nas.fromat: ", "did you mean format?"),
    ("northbound.yaml:5: sources.nas.retension: ", "did you mean retention?"),
    ("northbound.yaml:5: sources.nas.retension: ", "saw 7, expected a number with a unit"),
    ("northbound.yaml:5: sources.nas.fromat: ", "saw 'qumuloo', expected one of auto"),
    ("northbound.yaml:7: sources.fw.format: ", "saw 'cefx', expected one of auto"),
    ("northbound.yaml:8: sources.fw.partitions: ", "saw 'none', expected a whole number"),
    ("northbound.yaml:9: sources.fw.filters[0].drop.sel.a|nope: ", "Unknown modifier"),
    ("northbound.yaml:12: sources.lost.normalizer: ", "nothing at"),
    ("northbound.yaml:14: sources.both: ", "either format or normalizer"),
    (
        "northbound.yaml:16: sources.both.mutate[0].field: ",
        "saw 'raw_data', which cannot be changed",
    ),
    ("northbound.yaml:18: listeners[0].protocol: ", "saw 'tpc', expected one of 'tcp'"),
    ("northbound.yaml:19: listeners[1].spool: ", "saw 5, expected a number with a unit"),
    ("northbound.yaml:19: listeners[1]: ", "threads are for udp"),
    ("northbound.yaml:19: listeners[1].source: ", "saw 'nope', expected one of the sources: nas"),
    ("northbound.yaml:20: listeners[2].max_lines: ", "did you mean max_line?"),
    ("northbound.yaml:20: listeners[2].listen: ", "is taken by listeners[1]"),
    ("northbound.yaml:21: listeners[3].listen: ", "saw '5516', expected host:port"),
    ("northbound.yaml:23: enrich[0].dictionary: ", "nothing at"),
    ("northbound.yaml:25: enrich[2]: ", "dictionary needs either field or fields"),
    ("northbound.yaml:26: rules[1]: ", "nothing at"),
    ("northbound.yaml:28: lists.blocked.key: ", "saw 'user', expected a list, such as"),
    ("northbound.yaml:30: tenants.acme.format: ", "saw 'ocsf', expected one of ocsf-json"),
    ("northbound.yaml:30: tenants.acme.rules[0]: ", "nothing at"),
    ("northbound.yaml:30: tenants.acme.mask.time: ", "saw 'time', expected an attribute"),
    ("northbound.yaml:31: tenants.Bad: ", "saw 'Bad', expected lower-case letters"),
    ("northbound.yaml:32: tenants.none.sources: ", "missing"),
    ("northbound.yaml:32: tenants.none.mask.time: ", "saw 'time', expected an attribute"),
    ("northbound.yaml:34: deliveries[0].to.size: ", "saw 1, expected a number with a unit"),
    ("northbound.yaml:34: deliveries[0].tenant: ", "saw 'nobody', expected one of the tenants"),
    ("northbound.yaml:35: deliveries[1].name: ", "deliveries[0] is named d too"),
    ("northbound.yaml:35: deliveries[1].to: ", "gone.pem: No such file"),
    ("northbound.yaml:36: deliveries[2].to: ", "saw type 'fax', expected one of 'syslog'"),
    ("northbound.yaml:38: responses[0].to.topic: ", "saw 'x y', expected letters"),
    ("northbound.yaml:38: responses[0].where.x.b|no: ", "Unknown modifier"),
    ("northbound.yaml:40: workers: ", "given twice, first in line 39"),
    ("northbound.yaml:40: workers.standby_replicas: ", "saw -1, expected 0 or more"),
    ("tenants.d/beta.yaml:1: sources: ", "saw 'x', expected one of the sources: nas"),
    ("tenants.d/beta.yaml:2: feed: ", "did you mean feeds?"),
    ("tenants.d/beta.yaml:3: fields.keep[0]: ", "saw 'row', expected an attribute"),
    ("tenants.d/gamma.yaml:2: ", "not YAML"),
    ("own.yaml:1: name: ", "saw 'Own', expected lower-case letters"),
    ("own.yaml:2: version: ", "saw 1.0, expected text; put it in quotes: '1.0'"),
    ("own.yaml:4: format: ", "saw 'kv2', expected one of auto"),
    ("own.yaml:5: optons: ", "did you mean options?"),
    ("own.yaml:7: events[0].class: ", "saw 'Nothing', expected one of"),
    ("own.yaml:8: events[0].set.a: ", "either field or template"),
    ("assets.csv:2: ", "saw 3 values, expected 2"),
    ("assets.csv:3: ", "saw 1 values, expected 2"),
    ("rules/wrong.yml:3: detection.sel.a|nope: ", "Unknown modifier"),
    ("rules/tests/list.yml:2: lines.a.normalizer: ", "saw 'nothing', expected the path of a"),
    ("rules/tests/list.yml:4: tests[0].alert: ", "did you mean alerts?"),
    ("rules/tests/list.yml:4: tests[0].events[0]: ", "saw ['port'], expected"),
    ("rules/tests/list.yml:5: tests[1].alerts[0].titel: ", "did you mean title?"),
    ("rules/tests/list.yml:5: tests[1].events[0]: ", "saw line 'gone', expected one of ['a']"),
    ("rules/tests/list.yml:5: tests[1].events[1]: ", "every: saw 5, expected a number with a"),
]

SOUND = """\
version: 1
kafka: {embedded: {}}
sources: {nas: {format: qumulo}, other: {format: csv, options: {columns: 'a,b'}}}
listeners: [{protocol: tcp, listen: 127.0.0.1:5514, source: nas}]
connectors: [{type: file, paths: [/var/log/x], source: nas}]
enrich: [{dictionary: assets.csv, key: ip, field: src_endpoint.ip, as: asset, tenant: acme}]
rules: [rules]
lists: {blocked: {key: [user], alerts: [{rules: [named]}]}}
tenants:
  acme: {sources: [nas], mask: {actor.user.name: hash}}
deliveries: [{name: d, tenant: acme, to: {type: file, path: x}}]
responses: [{name: r, tenant: acme, rules: [named], to: {type: topic, topic: x}}]
ingest: {monitor: other}
"""
RULE = """\
title: Named
name: named
id: 4a9f1a3e-0000-4000-8000-000000000002
logsource: {product: qumulo}
detection: {sel: {operation: fs_delete}, condition: sel}
extensions: {lists: [{add: blocked, key: [user]}]}
"""


def written(folder: Path, files: dict[str, str]) -> Path:
    """Files below a folder; the one that is northbound.yaml."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder / "northbound.yaml"


def sound(folder: Path, text: str = SOUND, **more: str) -> Path:
    files = {"assets.csv": "ip,owner\n10.0.0.1,a\n", "rules/named.yml": RULE, **more}
    return written(folder, {**files, "northbound.yaml": text})


def test_everything_that_is_wrong_is_told(tmp_path: Path) -> None:
    """Each mistake once, with its file, line and key, in the order of the files, of all kinds of
    files; and nothing that only follows from another."""
    found = mistakes(written(tmp_path, FILES))
    told = [problem.removeprefix(f"{tmp_path}/") for problem in found]
    wrong = [
        (problem, place)
        for problem, (place, text) in zip(told, EXPECTED, strict=False)
        if not (problem.startswith(place) and text in problem)
    ]
    assert not wrong, "\n".join(told)
    assert len(told) == len(EXPECTED), "\n".join(told)


@pytest.mark.parametrize("command", [["up"], ["check"], ["ingest"], ["status"], ["deliver"]])
def test_every_command_tells_all_of_it(tmp_path: Path, command: list[str]) -> None:
    """What stops the form, what stops the meaning, and what a rule says wrong: one message."""
    text = SOUND.replace("format: qumulo}", "format: qumuloo}").replace("listeners:", "lisseners:")
    rule = RULE.replace("operation:", "operation|nope:")
    file = sound(tmp_path, text, **{"rules/named.yml": rule})
    done = CliRunner().invoke(app, [*command, "--config", str(file)])
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 3, done.stderr
    assert "lisseners: unknown key; did you mean listeners?" in done.stderr
    assert "saw 'qumuloo'" in done.stderr
    assert "Unknown modifier 'nope'" in done.stderr


def test_tests_and_the_configuration_at_once(tmp_path: Path) -> None:
    """`northbound test` tells what is wrong with the tests beside what is wrong elsewhere, and of
    several tests all."""
    tests = "tests:\n- {name: a, source: nope, lines: [x]}\n- {name: b, source: nas, line: [x]}\n"
    file = sound(tmp_path, SOUND + "worker: {}\n", **{"tests.yaml": tests})
    run = ["test", str(tmp_path / "tests.yaml"), "--config", str(file)]
    done = CliRunner().invoke(app, run)
    assert "worker: unknown key; did you mean workers?" in done.stderr
    assert "tests.yaml:3: tests[1].line: unknown key; did you mean lines?" in done.stderr
    sound(tmp_path)
    done = CliRunner().invoke(app, run)
    told = [line.partition(": saw")[0] for line in done.stderr.splitlines()]
    assert told[0] == f"{tmp_path}/tests.yaml:2: tests[0].source"
    assert told[1].startswith(f"{tmp_path}/tests.yaml:3: tests[1].line: unknown key")
    assert len(told) == 2


def test_a_reload_tells_all_of_it(tmp_path: Path) -> None:
    """The agent reads no rules; what it logs of a changed file has their mistakes all the same."""
    file = sound(tmp_path, SOUND + "worker: {}\n", **{"rules/named.yml": "title: [\n"})
    with pytest.raises(ConfigError) as caught:
        load(file)
    told = asyncio.run(_everything_wrong(file, caught.value))
    assert len(told) == 2
    assert told[0].startswith(f"{file}:{len(SOUND.splitlines()) + 1}: worker: unknown key")
    assert told[1].startswith(f"{tmp_path}/rules/named.yml:")


def test_a_sound_configuration(tmp_path: Path) -> None:
    """Nothing is wrong with it, no key of masks is needed before the first start, and looking
    leaves none."""
    file = sound(tmp_path)
    assert mistakes(file) == []
    assert not (tmp_path / "data").exists()
    done = CliRunner().invoke(app, ["check", "--config", str(file)])
    assert (done.exit_code, done.stdout) == (0, f"{file}: nothing is wrong\n")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("sources: {nas: {format: qumulo}, ", "sources: {nas: 5, ", "sources.nas: "),
        ("sources: {nas: {format: qumulo}, ", "sources: {Nas: {format: csv}, ", "sources.Nas: "),
        ("{format: qumulo}", "{format: 5}", "sources.nas.format: "),
        ("{format: csv, options", "{format: csvv, options", "sources.other.format: "),
        ("sources: {", "sauces: {", "sauces: unknown key"),
        ("sources: {nas", "surely: {nas", "surely: unknown key"),
        ("kafka: {embedded: {}}", "kafka: {embedded: 5}", "kafka.embedded: "),
        ("acme: {sources: [nas],", "acme: {sources: [5],", "tenants.acme.sources[0]: "),
        ("acme: {sources: [nas],", "acme: {", "tenants.acme.sources: "),
        ("acme: {", "Acme: {", "tenants.Acme: "),
        ("tenants:", "tenant:", "tenant: unknown key"),
        ("  acme: {sources: [nas], mask: {actor.user.name: hash}}", "  5", "tenants: "),
        ("rules: [rules]", "rules: [roles]", "rules[0]: "),
        ("rules: [rules]", "rules: rules", "rules: "),
        ("{key: [user],", "{key: user,", "lists.blocked.key: "),
        ("lists: {blocked", "lists: {Blocked", "lists.Blocked: "),
        ("key: ip,", "key: 5,", "enrich[0].key: "),
        ("assets.csv, key", "assests.csv, key", "enrich[0].dictionary: "),
        ("path: x}", "path: 5}", "deliveries[0].to.path: "),
        ("{type: file, path: x}", "{type: fil, path: x}", "deliveries[0].to: "),
        ("name: r, tenant", "name: R, tenant", "responses[0].name: "),
    ],
)
def test_nothing_is_told_that_only_follows(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    """One mistake is one line, however much depends on what is wrong."""
    assert before in SOUND
    found = mistakes(sound(tmp_path, SOUND.replace(before, after, 1)))
    # A key that is not like any other leaves a required one missing, which is a mistake of its own.
    expected = 2 if after.startswith("surely") else 1
    assert len(found) == expected, "\n".join(found)
    assert any(told in each for each in found)


def test_a_tenants_file_that_is_no_yaml(tmp_path: Path) -> None:
    """What names that tenant is not told; it is there."""
    text = SOUND.replace("tenant: acme, to: {type: file", "tenant: beta, to: {type: file")
    (problem,) = mistakes(sound(tmp_path, text, **{"tenants.d/beta.yaml": "[\n"}))
    assert "beta.yaml:2: not YAML" in problem


def test_aliases_and_merges(tmp_path: Path) -> None:
    """A mistake in what YAML's aliases stand for is told where it is used."""
    text = SOUND.replace("{format: qumulo}", "&it {format: qumulo, retension: 1d}")
    text = text.replace("{format: csv, options: {columns: 'a,b'}}", "*it")
    found = mistakes(sound(tmp_path, text))
    assert [each.partition(": unknown")[0].rpartition(" ")[2] for each in found] == [
        "sources.nas.retension",
        "sources.other.retension",
    ]
    (problem,) = mistakes(sound(tmp_path, "version: &a [*a]\n"))
    assert "not YAML" in problem


def test_the_formats_of_feeds_are_those_there_are() -> None:
    """The configuration knows each, without loading it."""
    assert set(FORMATS) == set(SERIALIZERS)


def test_no_mistake_is_too_much(tmp_path: Path) -> None:
    """Whatever is wrong, and however much, is told in lines with their places; nothing raises."""
    random_ = random.Random(20_261_127)
    values: list[Any] = [None, True, 5, -1, 1.5, "x", "", [], [5], {}, {"x": 1}, "nas", [["a"]]]
    file = sound(tmp_path)
    for _ in range(60):
        data = yaml.safe_load(SOUND)
        for _ in range(random_.randint(1, 6)):
            _spoil(random_, data, values)
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        for problem in mistakes(file):
            assert problem.startswith(f"{tmp_path}/"), (problem, data)


def _spoil(random_: random.Random, data: Any, values: list[Any]) -> None:
    """One value somewhere becomes another, or goes, or its key is spelt in another way."""
    while True:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        if not keys:
            return
        key = random_.choice(keys)
        inner = data[key]
        if isinstance(inner, dict | list) and random_.random() < 0.7:
            data = inner
            continue
        way = random_.choice(["value", "value", "gone", "spelt"])
        if way == "value" or not isinstance(data, dict):
            data[key] = random_.choice(values)
        elif way == "gone":
            del data[key]
        else:
            data[f"{key}s"] = data.pop(key)
        return


def test_the_ca_of_senders_is_looked_at(tmp_path: Path) -> None:
    """Also where Northbound's own CA makes the listener's certificate, at the start."""
    file = tmp_path / "northbound.yaml"
    file.write_text(
        """\
version: 1
kafka: {embedded: {data: ./data}}
sources: {nas: {format: qumulo}}
listeners:
  - protocol: tls
    listen: 127.0.0.1:6514
    source: nas
    tls: {client_ca: gone.pem, client_certificates: required}
connectors:
  - type: http
    listen: 127.0.0.1:8088
    source: nas
    tls: {client_ca: none.pem, client_certificates: optional}
""",
        encoding="utf-8",
    )
    (tmp_path / "none.pem").write_text("no certificate")
    told = mistakes(file)
    assert len(told) == 2
    assert "northbound.yaml:8: listeners[0].tls" in told[0]
    assert "gone.pem: No such file" in told[0]
    assert "northbound.yaml:13: connectors[0].tls" in told[1]
    assert "none.pem: " in told[1]
    assert mistakes(file, ingest=False) == []
