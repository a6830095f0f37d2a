"""Fields that are parsed further: what they say, and that rows do not hide anything of others."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.normalizer_files import load_normalizer
from tests.normalize.test_definitions import made

WHOLE: dict[str, Any] = {
    "name": "mine",
    "version": "1",
    "product": {"name": "Mine"},
    "format": "json",
}


def events(
    folder: Path, lines: list[str], fields: dict[str, Any], zone: str = "UTC", **changes: Any
) -> list[dict[str, Any]]:
    """What lines give of some fields, by the name of an attribute below unmapped."""
    given = {f"unmapped.{name}": {"field": field} for name, field in fields.items()}
    whole = {**WHOLE, "events": [{"class": "Base Event", "set": given}], **changes}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    found = made(load_normalizer(path, zone), *lines)
    return [
        {name: event.get(f"unmapped.{name}") for name in fields} | {"time": event["time"]}
        for event in found
    ]


def test_json_within_json(tmp_path: Path) -> None:
    """The members around it stay, and go before those inside."""
    found = events(
        tmp_path,
        [
            '{"log":"{\\"user\\":\\"eve\\",\\"pod\\":\\"inner\\"}","pod":"p-1"}',
            '{"log":"no JSON","pod":"p-2"}',
        ],
        {"user": "user", "pod": "pod"},
        then=[{"field": "log", "format": "json"}],
    )
    assert found == [
        {"user": "eve", "pod": "p-1", "time": None},
        {"user": None, "pod": "p-2", "time": None},
    ]


@pytest.mark.parametrize("form", ["rfc3164", "syslog"])
def test_syslog_within_json(tmp_path: Path, form: str) -> None:
    """Its time is of the source's zone and, without a year, of the year when the line came."""
    before = "" if form == "rfc3164" else "syslog."
    found = events(
        tmp_path,
        [
            '{"log":"<38>Jan 27 14:12:23 web1 sshd[8]: hello","msg":"around"}',
            '{"log":"<38>Jan 27 14:12:23 web1 sshd[8]: hello","time":"2026-01-27T00:00:00Z"}',
            '{"msg":"alone"}',
        ],
        {"host": f"{before}hostname", "msg": "msg"},
        zone="Europe/Berlin",
        then=[{"field": "log", "format": form}],
    )
    assert [event["time"] for event in found] == [1_769_519_543_000, 1_769_472_000_000, None]
    assert [event["host"] for event in found] == ["web1", "web1", None]
    assert [event["msg"] for event in found] == ["hello", "hello", "alone"]


def test_a_field_of_another_type_hides_nothing(tmp_path: Path) -> None:
    """`severity` is a number of syslog and a text of CEF: each line has its own, in any company."""
    lines = [
        "<14>1 2026-01-27T14:12:23Z h app - - - CEF:0|v|p|1|7|n|High|src=10.0.0.7",
        "<11>1 2026-01-27T14:12:23Z h app - - - words",
    ]
    changes = {"format": "syslog", "then": [{"field": "msg", "format": "cef"}]}
    fields = {"severity": "severity", "src": "src"}
    first, second = events(tmp_path, lines, fields, **changes)
    assert (first["severity"], first["src"]) == ("High", "10.0.0.7")
    assert (second["severity"], second["src"]) == ("3", None)
    assert events(tmp_path, lines[1:], fields, **changes) == [second]


def test_structured_data(tmp_path: Path) -> None:
    """Parameters of RFC 5424, before a payload too; an SD-ID may have dots."""
    line = '<14>1 2026-01-27T14:12:23Z h app - - [junos@2636.1.1.1.2.40 source-address="10.0.0.7"] '
    field = "sd.junos@2636.1.1.1.2.40.source-address"
    for form, name in (("syslog", field), ("json", f"syslog.{field}")):
        (found,) = events(tmp_path, [line + '{"a":1}'], {"source": name}, format=form)
        assert found["source"] == "10.0.0.7", form


def test_a_time_is_told_with_its_zone(tmp_path: Path) -> None:
    """It is in UTC, whatever the source's zone."""
    line = "<14>1 2026-01-27T14:12:23.5+01:00 h app - - - words"
    found = events(
        tmp_path,
        [line],
        {"at": "timestamp"},
        zone="Europe/Berlin",
        format="syslog",
    )
    assert found[0]["at"] == "2026-01-27T13:12:23.500000Z"


def test_members_by_any_name(tmp_path: Path) -> None:
    """As a condition and as a value."""
    path = tmp_path / "zeek.yaml"
    when = {"it": {"id.orig_h|cidr": "10.0.0.0/8", "request-headers[0].name": "x"}}
    case = {"class": "Network Activity", "when": when, "set": {"activity_id": 6}}
    case["set"]["src_endpoint.ip"] = {"field": "id.orig_h"}
    path.write_text(yaml.safe_dump({**WHOLE, "events": [case]}), encoding="utf-8")
    line = '{"id.orig_h":"10.0.0.7","request-headers":[{"name":"x"}]}'
    hit, miss = made(load_normalizer(path, "UTC"), line, line.replace('"x"', '"y"'))
    assert (hit["class_uid"], hit["src_endpoint.ip"]) == (4001, "10.0.0.7")
    assert miss["class_uid"] == 0
