"""Windows events: what the forwarders' forms have in common; comparison with a reference."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, frame, one
from topology.parse import flat_json, windows, xml
from topology.parse.parsed import MalformedError
from topology.parse.windows_names import COLUMNS, DROPPED, NAME_OF_NEXT, target

XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Microsoft-Windows-Security-Auditing' Guid='{5}'/><EventID>4624</EventID>"
    "<Version>2</Version><Level>0</Level><Task>12544</Task><Opcode>0</Opcode>"
    "<Keywords>0x8020000000000000</Keywords>"
    "<TimeCreated SystemTime='2026-01-27T14:12:23.1234567Z'/><EventRecordID>77</EventRecordID>"
    "<Correlation ActivityID='{a}'/><Execution ProcessID='728' ThreadID='3820'/>"
    "<Channel>Security</Channel><Computer>dc-1</Computer><Security UserID='S-1-5-18'/></System>"
    "<EventData><Data Name='TargetUserName'>joe</Data><Data Name='IpAddress'>-</Data>"
    "<Data Name='Empty'/></EventData>"
    "<RenderingInfo Culture='en-US'><Message>An account &amp; more</Message>"
    "</RenderingInfo></Event>"
)
WINLOGBEAT = {
    "@timestamp": "2026-01-27T14:12:23.123Z",
    "message": "An account & more",
    "log": {"level": "information"},
    "winlog": {
        "provider_name": "Microsoft-Windows-Security-Auditing",
        "provider_guid": "{5}",
        "event_id": "4624",
        "record_id": 77,
        "channel": "Security",
        "computer_name": "dc-1",
        "process": {"pid": 728, "thread": {"id": 3820}},
        "user": {"identifier": "S-1-5-18"},
        "event_data": {"TargetUserName": "joe", "IpAddress": "-", "Empty": ""},
        "keywords": ["Audit Success"],
    },
}
NXLOG = {
    "EventTime": "2026-01-27T14:12:23.123456Z",
    "Hostname": "dc-1",
    "EventID": 4624,
    "SourceName": "Microsoft-Windows-Security-Auditing",
    "ProviderGuid": "{5}",
    "RecordNumber": 77,
    "ProcessID": 728,
    "ThreadID": 3820,
    "Channel": "Security",
    "UserID": "S-1-5-18",
    "Message": "An account & more",
    "TargetUserName": "joe",
    "IpAddress": "-",
    "Empty": "",
}
CONVERTED = {
    "Event": {
        "System": {
            "Provider": {"#attributes": {"Name": NXLOG["SourceName"], "Guid": "{5}"}},
            "EventID": {"@Qualifiers": "16384", "#text": "4624"},
            "TimeCreated": {"@SystemTime": "2026-01-27T14:12:23.1234567Z"},
            "EventRecordID": 77,
            "Execution": {"@ProcessID": 728, "@ThreadID": 3820},
            "Channel": "Security",
            "Computer": "dc-1",
            "Security": {"@UserID": "S-1-5-18"},
        },
        "EventData": {
            "Data": [
                {"@Name": "TargetUserName", "#text": "joe"},
                {"#text": "-", "@Name": "IpAddress"},
                {"@Name": "Empty", "#text": ""},
            ]
        },
        "RenderingInfo": {"Message": "An account & more"},
    }
}


@pytest.mark.parametrize(
    "text", [XML, json.dumps(WINLOGBEAT), json.dumps(NXLOG), json.dumps(CONVERTED)]
)
def test_every_form_gives_the_same_fields(text: str):
    """Provider, id, record, process, channel, computer, user, message and data."""
    seen = one(windows.PARSER, text)
    assert seen["data"].items() >= {"TargetUserName": "joe", "IpAddress": "-", "Empty": ""}.items()
    assert {
        "provider": "Microsoft-Windows-Security-Auditing",
        "provider_guid": "{5}",
        "event_id": "4624",
        "record_id": "77",
        "process_id": "728",
        "thread_id": "3820",
        "channel": "Security",
        "computer": "dc-1",
        "user_sid": "S-1-5-18",
        "msg": "An account & more",
    }.items() <= seen.items()
    assert seen["timestamp"].replace(microsecond=0) == datetime(2026, 1, 27, 14, 12, 23)  # noqa: DTZ001


def test_user_data_and_data_without_names():
    """Elements of UserData by their names, and texts that Windows gives no name."""
    system = "<System><EventID Qualifiers='1'>104</EventID></System>"
    seen = one(
        windows.PARSER,
        f"<Event>{system}<UserData><LogFileCleared><SubjectUserName>joe</SubjectUserName>"
        "</LogFileCleared></UserData><EventData><Data>1</Data><Data>2</Data></EventData></Event>",
    )
    assert seen["data"] == {"SubjectUserName": "joe", "Data": ["1", "2"]}
    assert (seen["event_id"], seen["qualifiers"]) == ("104", "1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<Event/>", "without EventID"),
        ("{}", "without EventID"),
        ("[]", "no object"),
        ("", "not JSON"),
        ("<!DOCTYPE a><Event/>", "document type"),
        ("<Event>", "not XML"),
        ('{"a":' * 900 + "1.5" + "}" * 900, "over 32 levels"),
    ],
)
def test_what_is_refused(text: str, reason: str):
    """The reason says why."""
    assert reason in one(windows.PARSER, text)["error"]
    assert_same(windows.PARSER, [text, XML, json.dumps(NXLOG)])


def test_numbers_stay_as_they_were_written():
    """Beyond 64 bits, and with fractions."""
    text = (
        '{"EventID": 1, "big": 140624751830626345080086044861, "f": 1.50, "t": [true, null, -1e5]}'
    )
    assert one(windows.PARSER, text)["data"] == {
        "big": "140624751830626345080086044861",
        "f": "1.50",
        "t": ["true", "-1e5"],
    }


def _reference(text: str) -> dict[str, Any] | None:
    """One event, pair by pair."""
    try:
        if text.lstrip(" \t\r\n\ufeff").startswith("<"):
            found = xml.read(text)
        else:
            found = list(zip(*flat_json.read(text), strict=True))
    except MalformedError:
        return None
    columns: dict[str, str] = {}
    data: list[dict[str, str]] = []
    waiting: tuple[str, str] | None = None
    for written, value in found:
        aim = target(written)
        if waiting is not None and not aim.takes_name:
            data.append({"name": waiting[0], "value": waiting[1]})
            waiting = None
        if aim.column >= 0 and COLUMNS[aim.column] not in columns:
            columns[COLUMNS[aim.column]] = value
        elif aim.column == NAME_OF_NEXT:
            waiting = (aim.name, value)
        elif aim.column != DROPPED or value:
            data.append({"name": waiting[1] if waiting else aim.name, "value": value})
            waiting = None
    if waiting is not None:
        data.append({"name": waiting[0], "value": waiting[1]})
    return {**columns, "data": data} if "event_id" in columns else None


KEYS = "Event System EventID EventData Data @Name #text winlog event_id x UserData Provider message"
NAMES = st.sampled_from([*KEYS.split(), "event_data", "#attributes"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(alphabet="aé1", max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4).map(lambda each: {"EventID": 7, **each})
CUTS = st.tuples(
    st.integers(0, len(XML)), st.integers(0, 40), st.sampled_from(["", "<x/>", "'", "y"])
)
DOCUMENTS = CUTS.map(lambda cut: XML[: cut[0]] + cut[2] + XML[cut[0] + cut[1] :])


@given(texts=st.lists(st.one_of(OBJECTS.map(json.dumps), DOCUMENTS), min_size=1, max_size=8))
def test_columns_and_a_plain_reference_agree(texts: list[str]):
    """Whatever is in the batch."""
    assert_same(windows.PARSER, texts)
    for text in texts:
        fields = windows.parse(frame([text]), {}).fields
        expected = _reference(text)
        if expected is None:
            assert fields.height == 0
            continue
        row = fields.row(0, named=True)
        assert row["data:pairs"] == expected.pop("data")
        assert {name: row[name] for name in expected} == expected
