"""Odd bytes through every format and every shipped normalizer: no record is lost, doubled or
changed, and what tenants receive can be read."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import orjson
import pytest

from app.normalizer_files import load_normalizer
from schemas.codec import decode as read_avro
from tests.topology.deployment import NORMALIZED, RAW, SOURCE, START, plan, steps
from topology.formats import SOURCE_FORMATS
from topology.plan import SourcePlan, TenantPlan
from topology.testing import TopologyTestDriver

NORMALIZERS: Final = sorted((Path(__file__).parents[2] / "normalizers").glob("*.yaml"))
ONE_LINE: Final = ("cef", "leef", "rfc5424")
FORMS: Final = ("ocsf-json", "ecs-json", *ONE_LINE, "avro")
OPTIONS: Final[Mapping[str, dict[str, str]]] = {"regexp": {"pattern": "(?P<a>[a-z]*)(?P<b>.)?"}}
HEADERS: Final = (
    b"",
    b"<34>Jan 27 14:12:23 h app[1]: ",
    b'<14>1 9999-12-31T23:59:59-23:59 - qumulo - - [a b="\xff\0\\]"] ',
)
LONG: Final = b"9" * 25
DEEP: Final = 100_000
EVENT: Final = b'<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>'
PAYLOADS: Final = (
    b"",
    b"\0",
    b"\r\0\r\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe\x80",
    b"\x1b[31m\x7f\x85",
    "a=\u2028 b=\u202e\U0001f600".encode(),
    b'{"a":"\0"}',
    b'\xef\xbb\xbf{"a":1}',
    b'{"\xff":"\xff"}',
    b'{"a":"\\ud800","b":"\\u0000\\ud83d\\ude00"}',
    b'{"\\udc00":1}',
    b'{"time":1e400}',
    b'{"time":' + LONG + b',"a":-0,"b":1.50}',
    b'{"time":"9999-12-31T23:59:59-23:59","message":7}',
    b'{"a":1,"a":{"b":2},"a.b":3,"":{"":4}}',
    '{"\u2028":"\u2029\u0085"}'.encode(),
    b'{"' + b"k" * 70_000 + b'":1}',
    b"[" * DEEP,
    b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
    b'{"a":' * 127 + b"1" + b"}" * 127,
    b"[]",
    b'[{"a":1},{"a":2}]',
    b'[{"a":1},7,{"a":"\xff"}]',
    b'[{"a":1},{"a"',
    b'{"EventID":1e400,"Channel":"x","EventTime":"\\",\\"a\\":\\"\\ud83d\\ude00"}',
    b'{"EventID":[1,{}],"Channel":"x","ProcessID":"' + LONG + b'"}',
    b'{"winlog":{"event_id":1,"event_data":{"":"","a":{"b":[null,[1]]}}}}',
    EVENT + b"<EventID>" + LONG + b"</EventID><Level>x</Level></System></Event>",
    EVENT + b"<EventID>1</EventID><TimeCreated SystemTime='\"'/></System></Event>",
    b"<a>&#xD800;</a>",
    b"<a>" * DEEP,
    b"<a b='1' b='2'/>",
    b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
    b"=",
    b"a=\"\\ b=' =c a=1 a=2",
    b"a=" * 500,
    b"k" * 70_000 + b"=1 a=2 b=3",
    b'"' * 999,
    b'a,"b""\r,c",,\xff',
    b"\t" * 400,
    b"CEF:0|a|b|c|d|e|f|end=" + LONG + b" rt=1e400 src=:: spt=-1 a=\\",
    b"CEF:0|\\|\\\\|\xff|\0|e|" + LONG + b"|= a=1 a=2 " + b"k" * 9_000 + b"=1",
    b"LEEF:2.0|a|b|c|d|xD800|a=1",
    b"LEEF:1.0|a|b|c|d|devTime=" + LONG + b"\ta=\0\tsrcPort=1e400",
    b'::1,"a\0",smb2,fs_open,ok,' + LONG + b',"/\xff",""',
    b'"","","","","","","",""',
    b'{"operation":"fs_open","details":{"before":{"a":' + b"[" * 300 + b"]" * 300 + b"}}}",
    b'{"logEvents":[{"timestamp":1e400,"message":{"operation":"x","path_1":1}},{"message":"{"}]}',
    b'{"timestamp":"\\"","message":{"operation":"fs_open","ip_address":"","path_1":"\\n"}}',
    b"message repeated 999999999 times: [ [{}]]",
    b"%ASA-6-302013: Built outbound TCP connection " + LONG + b" for a:1.2.3.4/" + LONG,
    b"Failed password for invalid user \0\xff from 999.1.1.1 port " + LONG + b" ssh2",
    b"bob : TTY=\xff ; PWD=/ ; USER=\0 ; COMMAND=",
    b"type=SYSCALL msg=audit(" + LONG + b".999:1): pid=" + LONG + b" exit=1e400",
    b'date=2026-99-99 time=" eventtime=' + LONG + b' type=traffic srcport=-1 tz="\\" srcip=x',
    b'1,2026/01/27 14:12:23,1,TRAFFIC,end,1,"a""b\\",1.1.1.1,::' + b"," + LONG * 2 + b"," * 40,
)


def _run(source: SourcePlan, records: list[bytes], *, cut: bool) -> TopologyTestDriver:
    tenants = {
        form.replace("-", ""): TenantPlan(form.replace("-", ""), frozenset({"q"}), format=form)
        for form in FORMS
    }
    expose = frozenset({"normalized"}) if cut else frozenset[str]()
    chosen = replace(plan(expose=expose, source=source), tenants=tenants)
    run = TopologyTestDriver(steps(chosen), partitions={RAW: 1, NORMALIZED: 1})
    for record in records:
        run.pipe(RAW, record, timestamp=START)
    run.run()
    return run


def _outcomes(run: TopologyTestDriver) -> dict[str, bytes]:
    """Of each uid the bytes that the event or the dead letter has of its record."""
    found: dict[str, bytes] = {}
    for record in run.read("northbound.ocsfjson.events"):
        event = orjson.loads(record.value or b"")
        exact = event.get("unmapped", {}).get("raw_base64")
        uid = event["metadata"]["uid"]
        assert uid not in found
        found[uid] = event["raw_data"].encode() if exact is None else base64.b64decode(exact)
    for record in run.read("dead-letters"):
        letter = read_avro(record.value or b"")[1]
        assert letter["uid"] not in found
        # Refused for what it is, and not because something broke on it.
        assert letter["stage"] == "parse", letter["reason"]
        assert "Error: " not in letter["reason"]
        assert "Exception: " not in letter["reason"]
        found[letter["uid"]] = letter["raw"]
    return found


def _check(run: TopologyTestDriver, records: list[bytes]) -> None:
    outcomes = _outcomes(run)
    events = len(run.read("northbound.ocsfjson.events"))
    for form in FORMS:
        values = [
            each.value or b"" for each in run.read(f"northbound.{form.replace('-', '')}.events")
        ]
        assert len(values) == events, form
        if form == "ecs-json":
            assert all(orjson.loads(value)["@timestamp"] for value in values)
        elif form in ONE_LINE:
            assert not any(b"\n" in value or b"\r" in value for value in values), form
    for offset, record in enumerate(records):
        stem = f"AAAAAAAAAAA-0-{offset}"
        kept = outcomes.pop(stem, None)
        others = [uid for uid in outcomes if uid.startswith(f"{stem}-")]
        parts = [outcomes.pop(uid) for uid in others]
        if parts:
            assert b"[" in record  # several events, whose bytes tests/parse compares
        else:
            assert kept in (record, record.rstrip(b"\r\n")) or record.endswith(b"]"), record[:80]
    assert not outcomes
    counts = run.counts
    assert counts["records"] == len(records)
    assert counts["records"] + counts["several"] == counts["events"] + counts["dead_letters"]


@pytest.mark.parametrize("name", SOURCE_FORMATS)
def test_formats(name: str):
    """The topic between the stages keeps them, too."""
    records = [header + payload for header in HEADERS for payload in PAYLOADS]
    source = replace(SOURCE, format=name, options=OPTIONS.get(name, {}))
    _check(_run(source, records, cut=True), records)


@pytest.mark.parametrize("path", NORMALIZERS, ids=lambda path: path.stem)
def test_normalizers(path: Path):
    """Their own lines, with odd bytes put into them, are among the records."""
    loaded = load_normalizer(path, "UTC")
    lines = [
        line
        for log in sorted((path.parent / "tests" / path.stem).glob("*.log"))
        for line in log.read_bytes().splitlines()
    ]
    odd = (b"\0", b"\xff", b'"', b"\\", LONG, "\u2028".encode(), b"\\ud800", b"\n")
    records = [header + payload for header in HEADERS[:2] for payload in PAYLOADS]
    records += [
        line[: (at := len(line) * part // 8)] + byte + line[at:]
        for line in lines
        for part, byte in enumerate(odd, start=1)
    ]
    source = replace(
        SOURCE,
        format=loaded.format,
        options=dict(loaded.options),
        normalizer=SimpleNamespace(current=loaded.normalizer),
    )
    _check(_run(source, records, cut=False), records)
