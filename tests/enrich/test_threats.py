"""Lists of indicators: what events hit, and what is read from CSV, STIX 2.1 and MISP."""

import json
import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.lookups import LookupErrors
from app.threats import load_threats
from topology.dimension import SMALL
from topology.enrich.threats import Indicator, Threats
from topology.northbound import SERIALIZERS

SHA = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
EVENTS = pl.DataFrame(
    {
        "time": [1, 2, 3, 4, 5],
        "src_endpoint.ip": ["198.51.100.7", "192.0.2.1", None, "10.0.0.1", "10.0.0.1"],
        "dst_endpoint.hostname": ["a", "www.Evil.example.", "evil.example", "notevil.example", "b"],
        "file.name": ["x", "y", "z", "Dropper.EXE", "w"],
        "file.hashes[sha256].algorithm_id": [None, None, None, None, 3],
        "file.hashes[sha256].value": [None, None, None, None, SHA.lower()],
        "http_request.url.url_string": ["http://x.example/a", None, None, None, None],
    }
)


def hits(threats: Threats, events: pl.DataFrame = EVENTS) -> list[list[tuple[str, str]]]:
    """For each event the attributes that hit, and with which indicator."""
    written = map(json.loads, SERIALIZERS["ocsf-json"](threats.apply(events)).to_list())
    return [
        [(each["name"], each["data"]["indicator"]) for each in event.get("enrichments", [])]
        for event in written
    ]


def load(folder: Path, name: str, content: Any) -> Threats:
    """A file of this name with this text, or this as JSON."""
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return load_threats(path, name="threat")


@pytest.mark.parametrize("times", [1, SMALL])
def test_each_type_is_looked_up_in_its_attributes(tmp_path: Path, times: int) -> None:
    """Networks, domains with what is below them, digests and file names in any case, and URLs."""
    text = (
        "indicator,type,campaign,score\n"
        "198.51.100.0/24,,storm,70\nevil.example,,storm,\ndropper.exe,file,mud,50\n"
        f"{SHA},,mud,\nhttp://x.example/a,,mud,\n"
    )
    threats = load(tmp_path, "list.csv", text)
    assert len(threats) == 5
    events = pl.concat([EVENTS] * times)
    assert hits(threats, events) == times * [
        [
            ("http_request.url.url_string", "http://x.example/a"),
            ("src_endpoint.ip", "198.51.100.0/24"),
        ],
        [("dst_endpoint.hostname", "evil.example")],
        [("dst_endpoint.hostname", "evil.example")],
        [("file.name", "dropper.exe")],
        [("file.hashes[sha256].value", SHA)],
    ]
    seen = threats.apply(events)
    assert seen["@enrich.threat.campaign"].to_list() == times * [
        *("storm", "storm", "storm", "mud", "mud")
    ]
    assert seen["@enrich.threat.kind"].to_list() == times * [
        "ip",
        "domain",
        "domain",
        "file",
        "hash",
    ]


def test_attributes_of_the_users_choice() -> None:
    """They take the place of the usual ones, of that type alone."""
    indicators = [Indicator("ip", "10.0.0.1", {}), Indicator("file", "w", {})]
    threats = Threats("threat", indicators, {"ip": ["unmapped.peer"]})
    assert hits(threats) == [[], [], [], [], [("file.name", "w")]]
    moved = EVENTS.rename({"src_endpoint.ip": "unmapped.peer"})
    assert hits(threats, moved)[3] == [("unmapped.peer", "10.0.0.1")]


def test_events_without_a_hit_stay_as_they_are() -> None:
    """No column is added, also where there is nothing to look at."""
    threats = Threats("threat", [Indicator("ip", "203.0.113.1", {})])
    for events in (EVENTS, EVENTS.clear(), pl.DataFrame({"time": [1]})):
        assert threats.apply(events).equals(events)


def indicator(pattern: str, **more: Any) -> dict[str, Any]:
    """A STIX 2.1 indicator."""
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "pattern_type": "stix",
        "pattern": pattern,
        "valid_from": "2026-01-01T00:00:00Z",
        **more,
    }


def test_stix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Values and alternatives of values; what needs more than one is passed over and counted."""
    objects = [
        {"type": "identity", "name": "someone"},
        indicator("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", name="net", confidence=80),
        indicator("[domain-name:value = 'evil.example' OR url:value = 'http://x.example/a']"),
        indicator("[file:name IN ('it\\'s', 'dropper.exe')]", indicator_types=["malicious", "x"]),
        indicator(f"[file:hashes.'SHA-256' = '{SHA}']"),
        indicator("[file:name = 'w' AND file:size = 5]"),
        indicator("[file:name = 'w'] FOLLOWEDBY [file:name = 'x']"),
        indicator("[file:name = 'w' OR NOT file:name = 'x']"),
        indicator("rule x {}", pattern_type="yara"),
        indicator("[file:name = 'w']", revoked=True),
        indicator("[ipv4-addr:value = '10.0.0']"),
        indicator("[ipv6-addr:value='2001:db8::1'] OR [file:name IN('a.exe','b.exe')]"),
        indicator("[file:name = 'w'] OR"),
    ]
    with caplog.at_level(logging.WARNING):
        threats = load(tmp_path, "bundle.json", {"type": "bundle", "objects": objects})
    assert len(threats) == 9
    assert hits(threats) == [
        [
            ("http_request.url.url_string", "http://x.example/a"),
            ("src_endpoint.ip", "198.51.100.0/24"),
        ],
        [("dst_endpoint.hostname", "evil.example")],
        [("dst_endpoint.hostname", "evil.example")],
        [("file.name", "dropper.exe")],
        [("file.hashes[sha256].value", SHA)],
    ]
    assert threats.apply(EVENTS)["@enrich.threat.types"].to_list()[3] == "malicious,x"
    (told,) = caplog.messages
    assert "9 indicators; passed over: 5 patterns that are not" in told
    assert "1 revoked" in told
    assert "1 not a proper ip" in told


MISP = {
    "Event": {
        "info": "Storm",
        "uuid": "5a3e7f1e",
        "Tag": [{"name": "tlp:green"}],
        "Attribute": [
            {"type": "ip-dst|port", "value": "198.51.100.7|443", "to_ids": True},
            {"type": "domain|ip", "value": "evil.example|203.0.113.9", "to_ids": True},
            {"type": "filename", "value": "x", "to_ids": False},
            {"type": "mutex", "value": "x", "to_ids": True},
            {"type": "filename", "value": "x", "to_ids": True, "deleted": True},
        ],
        "Object": [
            {
                "name": "file",
                "Attribute": [
                    {"type": "filename|sha256", "value": f"w|{SHA}", "to_ids": True},
                    {"type": "filename", "value": "dropper.exe", "comment": "first stage"},
                ],
            }
        ],
    }
}


@pytest.mark.parametrize(
    "document",
    [MISP, [MISP], {"response": [MISP]}, MISP["Event"], {"response": MISP["Event"]}],
    ids=["event", "list", "search", "bare", "attributes"],
)
def test_misp(tmp_path: Path, document: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Events, their objects, and searches; only attributes that are meant for detection."""
    with caplog.at_level(logging.WARNING):
        threats = load(tmp_path, "misp.json", document)
    assert hits(threats) == [
        [("src_endpoint.ip", "198.51.100.7")],
        [("dst_endpoint.hostname", "evil.example")],
        [("dst_endpoint.hostname", "evil.example")],
        [("file.name", "dropper.exe")],
        [("file.hashes[sha256].value", SHA)],
    ]
    seen = threats.apply(EVENTS)
    assert seen["@enrich.threat.event"].to_list() == ["Storm"] * 5
    assert seen["@enrich.threat.comment"].to_list()[3] == "first stage"
    (told,) = caplog.messages
    for reason in ("1 not for detection (to_ids)", "1 of type mutex", "1 deleted"):
        assert reason in told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "ioc\n10.0.0.1\n", ":1: indicator: no such column; expected one of ioc"),
        ("a.csv", "indicator\n10.0.0.1\nsome text\n", ":3: indicator: saw 'some text'; say in a"),
        ("a.csv", "indicator,type\nx,mutex\n", ":2: type: saw 'mutex', expected one of ip,"),
        ("a.csv", "indicator,type\n10.0.0.300,ip\n", ":2: indicator: saw '10.0.0.300', expected"),
        ("a.csv", "indicator\n", ":1: no indicators"),
        ("a.json", "{", ":1: not JSON"),
        ("a.json", [1, {"x": 2}], ":1: expected a STIX 2.1 bundle, or events"),
        ("a.json", {"type": "bundle", "objects": []}, ":1: no indicators"),
        ("a.txt", "", "expected .csv, or .json"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, content: Any, told: str) -> None:
    """File, line, what was seen and what was expected."""
    with pytest.raises(LookupErrors) as caught:
        load(tmp_path, name, content)
    (problem,) = caught.value.problems
    assert problem.startswith(str(tmp_path / name))
    assert told in problem
