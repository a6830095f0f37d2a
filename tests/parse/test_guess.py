"""`auto` and `syslog`: which format a line is read by, over all golden cases."""

from pathlib import Path

import polars as pl
import pytest

from app import trying
from app.normalizer_files import load_normalizer
from topology.formats import SOURCE_FORMATS, decode, read

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
NORMALIZERS = ROOT / "normalizers"
SHORT = {
    "qumulo": "q",
    "qumulo-cloudwatch": "Q",
    "cef": "c",
    "leef": "l",
    "windows": "w",
    "xml": "x",
    "json": "j",
    "kv": "k",
    "csv": "v",
    "tsv": "t",
    "rfc5424": "5",
    "rfc3164": "3",
    "plain": "p",
}
AUTO = {
    "aggregated/reads": "qqqqqqqqqq",
    "auto/mixed": "q55jp333p",
    "cef/records": "cccccp",  # the last one has too few fields
    "csv/records": "p3pp",  # three values: any text has so many
    "json/values": "jjjjpppp",  # a text alone, and what is no JSON
    "json/syslog-arrays": "5553333333333",  # as all JSON behind a header: a message
    "kv/lists": "k3kp",  # values with blanks behind a tag: a message
    "leef/records": "lllp",  # the last one has no event id
    "qumulo-cloudwatch/shapes": "QQQQjQjQ",  # `{}`, and an event that is no record
    "tsv/records": "t",
    "windows/forms": "wwwwwjj",  # EventID alone is not enough
    "xml/documents": "wxpp",  # a document type, and one that is not well-formed
    "cisco-asa/messages": "333333333",
    "fortigate/traffic": "kkkk",
    "generic-cef/events": "cccc",
    "generic-leef/events": "lll",
    "generic-syslog/headers": "3535p",
    "linux-audit/records": "3kkk",
    "pan-os/logs": "vvvv",
    "sshd/logons": "3333",
    "sudo/commands": "3333",
    "windows-security/accounts": "wwwwwwww",
    "windows-security/logons": "wwwww",
}
"""How `auto` reads each line of a case; cases of the syslog formats and of Qumulo are below."""
CASES = {
    f"{path.parent.name}/{path.stem}": path
    for path in sorted([*GOLDEN.glob("*/*.log"), *(NORMALIZERS / "tests").glob("*/*.log")])
}


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().removesuffix(b"\n").split(b"\n")


def _raw(lines: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(lines)), "raw": lines, "received": [1_769_523_200_000] * len(lines)},
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )


def _read(name: str, lines: list[bytes]) -> str:
    """The format of each event, in order."""
    found = read(name, _raw(lines), {})
    assert found.failures.height == 0
    places = [
        (row, sub, SHORT[fields.format])
        for fields in found.fields
        for row, sub in fields.frame.select(
            "row", pl.col("sub") if "sub" in fields.frame.columns else pl.lit(0).alias("sub")
        ).rows()
    ]
    return "".join(short for *_, short in sorted(places))


@pytest.mark.parametrize("case", AUTO)
def test_auto_finds_the_format_of_each_line(case: str):
    """And the same in a batch that is large enough for columns."""
    lines = _lines(CASES[case])
    assert _read("auto", lines) == AUTO[case]
    assert _read("auto", lines * 40) == AUTO[case] * 40


@pytest.mark.parametrize("case", sorted(CASES.keys() - AUTO.keys()))
def test_auto_finds_what_the_format_itself_reads(case: str):
    """All lines of Qumulo's, RFC 5424's and RFC 3164's cases that these take; some of RFC 3164's
    are of a vendor's format."""
    name = case.partition("/")[0]
    lines = _lines(CASES[case])
    failed = set(read(name, _raw(lines), {}).failures["row"].to_list())
    expected = "".join("." if row in failed else SHORT[name] for row in range(len(lines)))
    seen = _read("auto", lines)
    agreeing = [one for one, other in zip(expected, seen, strict=True) if one == other]
    others = {"rfc3164/vendors": "ckv"}.get(case, "")
    differing = [
        other for one, other in zip(expected, seen, strict=True) if one not in (".", other)
    ]
    assert "".join(sorted(differing)) == others
    assert len(agreeing) == len(lines) - len(failed) - len(others)


def test_every_case_of_every_format_is_here():
    """A new case says how `auto` reads it."""
    names = {case.partition("/")[0] for case in CASES}
    assert SOURCE_FORMATS.keys() - names == {"syslog", "regexp", "plain"}
    rest = {case.partition("/")[0] for case in CASES.keys() - AUTO.keys()}
    assert rest == {"qumulo", "rfc3164", "rfc5424"}


TRIED = {
    "auto/mixed": "syslog",
    "csv/records": "",  # each line has another number of values
    "json/values": "",  # more than half is broken
    "qumulo/malformed": "",
    "rfc3164/malformed": "",
    "rfc3164/vendors": "syslog",  # Meraki has the version of RFC 5424
    "rfc5424/messages": "syslog",  # some of them are for RFC 3164
    "cisco-asa/messages": "rfc3164",
    "fortigate/traffic": "kv",
    "generic-cef/events": "cef",
    "generic-leef/events": "leef",
    "generic-syslog/headers": "syslog",
    "linux-audit/records": "kv",
    "pan-os/logs": "rfc3164",  # each kind of record has another number of values
    "sshd/logons": "rfc3164",
    "sudo/commands": "kv",
    "windows-security/accounts": "windows",
    "windows-security/logons": "windows",
    "aggregated/reads": "qumulo",
}


@pytest.mark.parametrize("case", CASES)
def test_try_finds_the_format_of_a_log(case: str):
    """The best one, of all lines together; it reads at least half of them."""
    expected = TRIED.get(case, case.partition("/")[0])
    best = trying.candidates([line for line in _lines(CASES[case]) if line.strip()])[0]
    if expected:
        assert best.format == expected
        assert best.share >= trying.ENOUGH


@pytest.mark.parametrize("path", sorted(NORMALIZERS.glob("*.yaml")), ids=lambda path: path.stem)
def test_try_finds_each_shipped_normalizer(path: Path):
    """Of all shipped ones its own describes the most of its cases (any syslog is a Base Event)."""
    loaded = {each: load_normalizer(each, "UTC") for each in NORMALIZERS.glob("*.yaml")}
    for case in (NORMALIZERS / "tests" / path.stem).glob("*.log"):
        described = [
            trying.described(each, own, _lines(case)) for each, own in sorted(loaded.items())
        ]
        best = max(described, key=lambda each: each.share)
        if path.stem != "generic-syslog":
            assert (best.path, best.share >= trying.ENOUGH) == (path, True)


@pytest.mark.parametrize(
    ("line", "short"),
    [
        (b"<34>Oct 11 22:14:15 h app: see {CEF:0|a|b|c|d|e|f|g}", "c"),
        (b'{"message": "CEF:0|a|b|c|d|e|f|g"}', "j"),
        (b'{"message": "LEEF:1.0|a|b|c|d|e=f"}', "j"),
        (b"<34>Oct 11 22:14:15 h app: CEF: none", "3"),
        (b"<34>Oct 11 22:14:15 h sshd[1]: failure; logname= uid=0 euid=0 tty=ssh rhost=::1", "3"),
        (b"<34>Oct 11 22:14:15 fw a=1 b=2 c=3", "k"),
        (b"<34>Oct 11 22:14:15 h app: <b>bold</b>", "3"),
        (b"<34>Oct 11 22:14:15 h app: {broken", "3"),
        (b'<13>Jan 27 14:12:23 h a: {"EventID": 1, "Channel": "x"}', "w"),
        (b'{"EventID": 1, "user": "a"}', "j"),
        (b'{"winlog": "text", "event_id": 1}', "j"),
        (b"a=1 b=2", "p"),
        (b"x a=1 b=2 c=3", "p"),
        (b"well, this, is, some, text", "p"),
        (b"one,two,three,four,five", "v"),
        (b'1,"a, b",,"c ""d""",5', "v"),
        (b"\tat a.b.C\t\t\t", "p"),
        (b"<not xml", "p"),
        (b"2026-01-27T14:12:23Z text, of, a, log, file", "3"),
        (b"", "p"),
    ],
)
def test_what_a_line_is(line: bytes, short: str):
    """Text that merely holds something like a record stays text."""
    assert _read("auto", [line]) == short


def test_syslog_reads_headers_alone():
    """What the payload looks like does not matter: all of it is in `msg`."""
    lines = [
        b"<34>Oct 11 22:14:15 fw CEF:0|a|b|c|d|e|f|g",
        b"<34>1 2026-01-27T14:12:23Z q qumulo - - - x",
        b'{"a": 1}',
        b"type=A msg=b c=d",
    ]
    assert _read("syslog", lines) == "35pp"
    assert decode("syslog", _raw(lines), {}).events["message"].to_list() == [
        "CEF:0|a|b|c|d|e|f|g",
        "x",
        '{"a": 1}',
        "type=A msg=b c=d",
    ]
