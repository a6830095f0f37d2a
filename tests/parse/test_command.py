"""`northbound parse` as a process: one object a line, in order, whatever the bytes."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from app.cli import main; main()", "parse"]


def _run(data: bytes, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [*COMMAND, *arguments], input=data, capture_output=True, cwd=ROOT, timeout=120, check=False
    )
    assert status == done.returncode, done.stderr.decode()
    return done


def _parse(data: bytes, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _run(data, *arguments).stdout.splitlines()]


RECORD = b'<14>1 2026-01-27T14:12:23Z n-1 qumulo - - - ::1,"a",smb2,fs_open,ok,1,"/a",""'


def test_one_object_per_line_in_order():
    """Good, bad, empty and undecodable lines; the last line has no line end."""
    seen = _parse(b"\n".join([RECORD, b"", RECORD + b"\r", b"\xff", RECORD]), "--format", "qumulo")
    assert ["error" in result for result in seen] == [False, True, False, True, False]
    assert {"stage", "reason"} == set(seen[1]["error"])
    assert seen[1]["raw"] == ""
    assert base64.b64decode(seen[3]["raw_base64"]) == b"\xff"
    assert seen[2]["raw_data"] == seen[0]["raw_data"] == RECORD.decode()
    assert seen[0]["time"] == 1_769_523_143_000


def test_auto_tells_lines_apart():
    """Each line by itself; what nothing recognises is plain text."""
    lines = [RECORD, b'<34>1 - h su - - - "x"', b'{"a": 1}', b"{broken", b"text", b""]
    seen = _parse(b"\n".join(lines) + b"\n", "--output", "fields")
    assert [result["format"] for result in seen] == [
        "qumulo",
        "rfc5424",
        "json",
        "plain",
        "plain",
        "plain",
    ]
    assert [result["class_uid"] for result in _parse(b"\n".join(lines) + b"\n")] == [
        6006,
        0,
        0,
        0,
        0,
        0,
    ]


def test_fields_have_the_names_of_the_vectors():
    """`--output fields` is the parser's own result; times in UTC with microseconds."""
    line = b'<34>1 2003-10-11T22:14:15.003+02:00 h su - I [a b="c" b="d"] m \xff'
    assert _parse(line, "--format", "rfc5424", "--output", "fields") == [
        {
            "pri": 34,
            "facility": 4,
            "severity": 2,
            "version": 1,
            "timestamp": "2003-10-11T20:14:15.003000Z",
            "hostname": "h",
            "appname": "su",
            "procid": None,
            "msgid": "I",
            "sd": {"a": {"b": ["c", "d"]}},
            "msg": "m \ufffd",
            "raw_base64": base64.b64encode(line).decode(),
        }
    ]


def test_fields_of_rfc3164_have_the_time_as_it_is_written_too():
    """`timestamp` in UTC, in the year of the reception; `timestamp_md` what the line says."""
    lines = [b"<34>Jan 27 2026 14:12:23 h su[7]: m", b"<34>su: m"]
    options = ["--format", "rfc3164", "--option", "timezone=Europe/Berlin", "--output", "fields"]
    seen = _parse(b"\n".join(lines), *options)
    assert seen[0] == {
        "pri": 34,
        "facility": 4,
        "severity": 2,
        "version": None,
        "timestamp": "2026-01-27T13:12:23Z",
        "hostname": "h",
        "appname": "su",
        "procid": "7",
        "msgid": None,
        "sd": {},
        "msg": "m",
        "timestamp_md": "01-27T14:12:23",
    }
    assert (seen[1]["timestamp"], seen[1]["timestamp_md"]) == (None, None)


def test_json_over_several_lines_stays_one_line():
    """With counted framing a message may have line ends, but a result is one line."""
    message = b'{\n"a": [1,\r\n140624751830626345080086044861]}'
    framed = b"%d %s" % (len(message), message)
    seen = _parse(framed, "--format", "json", "--output", "fields", "--framing", "octet")
    assert seen == [{"value": {"a": [1, 140624751830626345080086044861]}}]


def test_frames_are_base64():
    """`--output frames` shows how the bytes of a connection are cut."""
    done = _run(b"5 <1>ab7 <1>cdef", "--framing", "auto", "--output", "frames")
    assert [base64.b64decode(line) for line in done.stdout.splitlines()] == [b"<1>ab", b"<1>cdef"]


def test_options_reach_the_format():
    """`--option name=value`."""
    assert _parse(b"a;b", "--format", "csv", "--option", "delimiter=;", "--output", "fields") == [
        {"columns": ["a", "b"]}
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "nonsense"], "--format expects one of"),
        (["--output", "nonsense"], "--output expects one of"),
        (["--framing", "nonsense"], "--framing expects one of"),
        (["--option", "x"], "expects name=value"),
        (
            ["--format", "csv", "--option", "x=y"],
            "no option 'x'; expected one of: timezone, reference, delimiter",
        ),
        (["--format", "csv", "--option", "delimiter=ab"], "one character"),
        (["--format", "rfc3164", "--option", "timezone=Mars/X"], "an IANA time zone"),
        (["--format", "regexp"], "format regexp needs --option pattern="),
        (["--format", "regexp", "--option", "pattern=(a)"], "with named groups"),
    ],
)
def test_wrong_usage_says_what_is_expected(arguments: list[str], said: str):
    """Status 2 and one message."""
    assert said in _run(b"x\n", *arguments, status=2).stderr.decode().replace("\n", " ")


def test_times_out_of_the_years_of_a_calendar_are_printed():
    """A zone puts the last hour of the year 9999 into the next one; the lines around it stay."""
    late, early = b"9999-12-31T23:59:59.5-23:59", b"0001-01-01T00:00:00+23:59"
    lines = [b"<34>1 %s h a - - - {}" % time for time in (late, early, b"2026-01-27T14:12:23Z")]
    times = ["+10000-01-01T23:58:59.500000Z", "0000-12-31T00:01:00Z", "2026-01-27T14:12:23Z"]
    seen = _parse(b"\n".join(lines), "--format", "rfc5424", "--output", "fields")
    assert [each["timestamp"] for each in seen] == times
    seen = _parse(b"\n".join(lines), "--format", "json", "--output", "fields")
    assert [each["syslog"]["timestamp"] for each in seen] == times
