"""RFC 3164 lines: the exact path by cases, and columns by comparison with it."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.parse import rfc3164, rfc3164_line
from topology.parse.bsd_timestamp import zone_of
from topology.parse.parsed import parse_rows

RECEIVED = int(datetime(2026, 1, 27, 14, 12, 23, tzinfo=UTC).timestamp() * 1000)


def _frame(texts: list[str], received: list[int] | None = None) -> pl.DataFrame:
    times = received or [RECEIVED] * len(texts)
    return pl.DataFrame(
        {"row": range(len(texts)), "text": texts, "received": times},
        schema={"row": pl.UInt32, "text": pl.String, "received": pl.Int64},
    )


def _one(text: str) -> dict[str, Any]:
    parsed = rfc3164.parse(_frame([text]), {})
    assert parsed.failures.height == 0, parsed.failures["reason"][0]
    return parsed.fields.row(0, named=True)


HEADER = ("timestamp", "hostname", "appname", "procid", "msg")
TENTH = "2026-01-10T01:02:03"


@pytest.mark.parametrize("count", [1, SMALL * 2])
def test_a_reference_decides_the_year(count: int) -> None:
    """Of times without one, by either path; a line that names its year or offset keeps it."""
    lines = {
        "<34>Dec 31 23:59:59 h a: m": "2018-12-31T23:59:59",
        "<34>Jan  1 00:00:00 h a: m": "2019-01-01T00:00:00",
        "<34>Jan 10 2025 01:02:03 h a: m": "2025-01-10T01:02:03",
    }
    for text, expected in lines.items():
        parsed = rfc3164.parse(_frame([text] * count), {"reference": "2019-01-15"})
        assert {each.isoformat() for each in parsed.fields["timestamp"]} == {expected}


CASES = [
    # What RFC 3164 section 5.4 has.
    (
        "<34>Jan 10 01:02:03 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        (TENTH, "mymachine", "su", None, "'su root' failed for lonvick on /dev/pts/8"),
    ),
    ("Use the BFG!", None),
    ("<13>Use the BFG!", (None, None, "Use", None, "the BFG!")),
    (
        "<0>1990 Oct 22 10:52:01 TZ-6 scapegoat.example.org sched[0]: That's All Folks!",
        ("1990-10-22T16:52:01", "scapegoat.example.org", "sched", "0", "That's All Folks!"),
    ),
    # Parts that are missing.
    ("Jan 10 01:02:03 h a[1]: m", (TENTH, "h", "a", "1", "m")),
    ("<34>Jan 10 01:02:03 a[1]: m", (TENTH, None, "a", "1", "m")),
    ("<34>Jan 10 01:02:03 a: m", (TENTH, None, "a", None, "m")),
    ("<34>Jan 10 01:02:03 h a m", (TENTH, "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03 h a[1] m", (TENTH, "h", "a", "1", "m")),
    ("<34>Jan 10 01:02:03 h a[]: m", (TENTH, "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03 h a[1: m", (TENTH, "h", "a", None, "[1: m")),
    ("<34>Jan 10 01:02:03 h  m: n", (TENTH, "h", None, None, "m: n")),
    ("<34>Jan 10 01:02:03 h", (TENTH, "h", None, None, None)),
    ("<34>Jan 10 01:02:03", (TENTH, None, None, None, None)),
    ("<34>Jan 10 01:02:03 - - m", (TENTH, None, None, None, "m")),
    ("<34>a[1]: m", (None, None, "a", "1", "m")),
    ("<34>h a[1]: m", (None, "h", "a", "1", "m")),
    ("<34>h a: m", (None, None, "h", None, "a: m")),
    ("<34>", (None, None, None, None, None)),
    # Hosts and tags.
    ("<34>Jan 10 01:02:03 10.0.0.1 a: m", (TENTH, "10.0.0.1", "a", None, "m")),
    ("<34>Jan 10 01:02:03 2001:db8::1 a: m", (TENTH, "2001:db8::1", "a", None, "m")),
    ("<34>Jan 10 01:02:03 fe80:: a: m", (TENTH, "fe80::", "a", None, "m")),
    ("<34>Jan 10 01:02:03 [10.0.0.1] a: m", (TENTH, "10.0.0.1", "a", None, "m")),
    ("<34>Jan 10 01:02:03 [error] m", (TENTH, None, None, None, "[error] m")),
    ("<34>Jan 10 01:02:03 h postfix/smtpd[9]: m", (TENTH, "h", "postfix/smtpd", "9", "m")),
    ("<34>Jan 10 01:02:03 h sshd(pam)[9]:m", (TENTH, "h", "sshd(pam)", "9", "m")),
    (f"<34>Jan 10 01:02:03 h {'a' * 80}: m", (TENTH, "h", "a" * 80, None, "m")),
    ("<34>Jan 10 01:02:03 h a : m", (TENTH, "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03 h : m", (TENTH, "h", None, None, "m")),
    ("<34>Jan 10 01:02:03 h a: \ufeffm \t", (TENTH, "h", "a", None, "m \t")),
    ("<34>Jan 10 01:02:03 h a: \tm\r\nn", (TENTH, "h", "a", None, "\tm\r\nn")),
    # Times.
    ("<34>Jan  1 01:02:03 h a: m", ("2026-01-01T01:02:03", "h", "a", None, "m")),
    ("<34>Jan 1 1:02:03 h a: m", ("2026-01-01T01:02:03", "h", "a", None, "m")),
    ("<34>JAN 10 01:02:03: h a: m", (TENTH, "h", "a", None, "m")),
    ("<34>Sat Jan 10 01:02:03 2026 h a: m", (TENTH, "h", "a", None, "m")),
    ("<34>Jan 10 2025 01:02:03 h a: m", ("2025-01-10T01:02:03", "h", "a", None, "m")),
    ("<34>2025 Jan 10 01:02:03 h a: m", ("2025-01-10T01:02:03", "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03.5 h a: m", (f"{TENTH}.500000", "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03,123456789 h a: m", (f"{TENTH}.123456", "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03 CET h a: m", ("2026-01-10T00:02:03", "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03 +0530 h a: m", ("2026-01-09T19:32:03", "h", "a", None, "m")),
    ("<34>Jan 10 01:02:03-01:00 h a: m", ("2026-01-10T02:02:03", "h", "a", None, "m")),
    ("<34>Jan 10 01:02:60 h a: m", ("2026-01-10T01:03:00", "h", "a", None, "m")),
    ("<34>Dec 31 23:59:60 h a: m", ("2026-01-01T00:00:00", "h", "a", None, "m")),
    ("<34>2026-01-10T02:02:03.25+01:00 h a[1]: m", (f"{TENTH}.250000", "h", "a", "1", "m")),
    ("<34>2025-01-10T01:02:03z h a: m", ("2025-01-10T01:02:03", "h", "a", None, "m")),
    ("2025-01-10 01:02:03 h a: m", ("2025-01-10T01:02:03", "h", "a", None, "m")),
    ("<34>Jan 32 01:02:03 h a: m", (None, None, "Jan", None, "32 01:02:03 h a: m")),
    ("<34>Feb 30 01:02:03 h a: m", (None, None, "Feb", None, "30 01:02:03 h a: m")),
    ("<34>Jan 10 24:02:03 h a: m", (None, None, "Jan", None, "10 24:02:03 h a: m")),
    # Cisco.
    (
        "<189>237: *Jan 10 01:02:03.295: %SYS-5-CONFIG_I: Configured",
        (f"{TENTH}.295000", None, "%SYS-5-CONFIG_I", None, "Configured"),
    ),
    (
        "<189>: 000088: .Jan 10 01:02:03.295 UTC: %SYS-5-CONFIG_I: m",
        (f"{TENTH}.295000", None, "%SYS-5-CONFIG_I", None, "m"),
    ),
    (
        "<189>9: edge-1: 000077: *Jan 10 01:02:03 gmt: %IOSXE-6-PLATFORM: m",
        (TENTH, "edge-1", "%IOSXE-6-PLATFORM", None, "m"),
    ),
    (
        "<189>9: edge-1: Jan 10 01:02:03 %LINEPROTO-5-UPDOWN: m",
        (TENTH, "edge-1", "%LINEPROTO-5-UPDOWN", None, "m"),
    ),
    ("<189>29: 1w2d: %LINK-3-UPDOWN: m", (None, None, "%LINK-3-UPDOWN", None, "m")),
    ("<189>29: 00:00:46: %LINK-3-UPDOWN: m", (None, None, "%LINK-3-UPDOWN", None, "m")),
    ("<189>app: Jan 10 01:02:03 m", (None, None, "app", None, "Jan 10 01:02:03 m")),
    (
        "<189>: 2025 Jan 10 01:02:03 UTC: %ETHPORT-5-IF_UP: m",
        ("2025-01-10T01:02:03", None, "%ETHPORT-5-IF_UP", None, "m"),
    ),
    (
        "<166>Jan 10 2026 01:02:03: %ASA-6-302014: m",
        (TENTH, None, "%ASA-6-302014", None, "m"),
    ),
    ("<166>Jan 10 2026 01:02:03 fw : %ASA-6-302014: m", (TENTH, "fw", "%ASA-6-302014", None, "m")),
    ("<166>Jan 10 2026 01:02:03 fw: %ASA-6-302014: m", (TENTH, "fw", "%ASA-6-302014", None, "m")),
    ("<166>:Jan 10 01:02:03 UTC: %ASA-6-302014: m", (TENTH, None, "%ASA-6-302014", None, "m")),
    ("<164>%ASA-4-106023: m", (None, None, "%ASA-4-106023", None, "m")),
    ("<164>fw : %ASA-4-106023: m", (None, "fw", "%ASA-4-106023", None, "m")),
    # Other vendors.
    ("<189>date=2026-01-10 devname=f", (None, None, None, None, "date=2026-01-10 devname=f")),
    ("<34>Jan 10 01:02:03 fw date=2026 a=b", (TENTH, "fw", None, None, "date=2026 a=b")),
    ("<34>Jan 10 01:02:03 fw CEF:0|V|P|1|", (TENTH, "fw", None, None, "CEF:0|V|P|1|")),
    ("<34>Jan 10 01:02:03 fw LEEF:1.0|V|", (TENTH, "fw", None, None, "LEEF:1.0|V|")),
    ("<34>Jan 10 01:02:03 CEF:0|V|P|1|", (TENTH, None, None, None, "CEF:0|V|P|1|")),
    ('<34>Jan 10 01:02:03 h {"a": 1}', (TENTH, "h", None, None, '{"a": 1}')),
    ("<34>Jan 10 01:02:03 h 1,2026/01/10 1:2,0", (TENTH, "h", None, None, "1,2026/01/10 1:2,0")),
    ("<34>Jan 10 01:02:03 Message forwarded from h: a[1]: m", (TENTH, "h", "a", "1", "m")),
    ("<134>1 1768006923.5 MX84 urls src=1", (f"{TENTH}.500000", "MX84", "urls", None, "src=1")),
    ("<34>1 2026-01-10T01:02:03Z h su - I [a b= c]", (TENTH, "h", None, None, "su - I [a b= c]")),
    ("<34>1 - h su - ID [a", (None, "h", None, None, "su - ID [a")),
    # What is none.
    ("", None),
    ("not much of a syslog message", None),
    ("<192>Jan 10 01:02:03 h a: m", None),
    ("<1234>Jan 10 01:02:03 h a: m", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_cases(text: str, expected: tuple[str | None, ...] | None):
    """Time, host, tag, pid and message, or a failure; alone and among many."""
    many = rfc3164.parse(_frame([text] * SMALL), {})
    if expected is None:
        assert many.failures.height == SMALL
        assert rfc3164.parse(_frame([text]), {}).failures.height == 1
        return
    seen = _one(text)
    stamp = seen["timestamp"]
    assert expected == (stamp and stamp.isoformat(), *[seen[name] for name in HEADER[1:]])
    assert many.fields.drop("row").unique().rows() == [tuple(seen.values())[1:]]


@pytest.mark.parametrize(
    ("text", "pri"), [("<0>x", 0), ("<191>x", 191), ("<013>x", 13), ("Jan 10 01:02:03 h", 13)]
)
def test_priority(text: str, pri: int):
    """Facility and severity are those of PRI, which is 13 where there is none."""
    seen = _one(text)
    assert (seen["pri"], seen["facility"], seen["severity"]) == (pri, pri >> 3, pri & 7)


STAMPS = st.sampled_from(
    [
        *("Jan 10 01:02:03", "Jan  1 00:00:00", "Feb 29 12:00:00", "Feb 30 12:00:00"),
        *("Dec 31 23:59:59", "Jul 27 11:00:00", "Jul 28 23:00:00", "Jul 29 01:00:00"),
        *("Mar 29 02:30:00", "Oct 25 02:30:00", "Oct 25 01:59:60", "Foo 10 01:02:03"),
        *("Jan 10 2024 01:02:03", "2024 Jan 10 01:02:03", "Jan 10 01:02:03.123", "Jan 10 1:02:03"),
        *("*Jan 10 01:02:03.1", "7: .Jan 10 01:02:03", "7: h: Jan 10 01:02:03 UTC"),
        *("jan 10 01:02:03", "Jan 10 01:02:03 CET", "Oct 25 02:30:00.987654321"),
        *("2026-01-10T01:02:03Z", "2026-01-10T01:02:03.5+02:00", "2026-01-10T01:02:03"),
        *("1026-01-10T01:02:03Z", "2026-10-25T02:30:00", "2026-13-10T01:02:03Z", ""),
        *("1 2026-01-10T01:02:03Z", "1 1768006923.5"),
    ]
)  # fmt: skip
PIECES = st.sampled_from(
    [
        *(
            "h",
            "10.0.0.1",
            "::1",
            "fe80::",
            "-",
            "2024",
            "UTC",
            "CET",
            "-0500",
            "Z",
            "h:",
            "x",
            ":",
        ),
        *(
            "a:",
            "a[1]:",
            "a[]:",
            "a[1]",
            "[a]",
            "CEF:0|a",
            "CEF:",
            "a=b",
            "=b",
            '"',
            "%ASA-6-302014:",
            "%a:",
        ),
        *("", "\ufeffx", "\u00fc:", "m", "two\nlines", "\x00", "a:b", "[10.0.0.1]", "Message"),
        *("forwarded", "from", "1,2026/01/10", "{", "UTC[1]:", "TZ-6", ": %ASA-6-302014:"),
    ]
)
LINES = st.one_of(
    st.builds(
        lambda pri, stamp, colon, rest: f"{pri}{stamp}{colon}{' '.join(rest)}",
        st.sampled_from(["<34>", "<191>", "<192>", "", "<013>", "<34> ", "<"]),
        STAMPS,
        st.sampled_from([" ", ": ", "", "  "]),
        st.lists(PIECES, max_size=6),
    ),
    st.builds(
        "{}{} {} {}: {}".format,
        st.sampled_from(["<34>", "<86>", ""]),
        STAMPS,
        PIECES,
        PIECES.map(lambda piece: piece.removesuffix(":")),
        PIECES,
    ),
    st.builds("<34>{} {} {}".format, STAMPS, PIECES, PIECES),
    st.builds("<34>{} {}".format, PIECES, PIECES),
    st.text(max_size=40),
)
TIMES = st.one_of(
    st.just(RECEIVED),
    st.integers(RECEIVED - 86_400_000, RECEIVED + 86_400_000),
    st.integers(0, 2 * RECEIVED),
    st.integers(-(2**63), 2**63 - 1),
)


@given(
    st.lists(st.tuples(LINES, TIMES), min_size=1, max_size=20),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
@example([("<34>Feb 29 12:00:00 h a: m", RECEIVED)], "UTC")
def test_columns_agree_with_the_exact_path(lines: list[tuple[str, int]], name: str):
    """Whatever lines and times of reception: together they give what each alone gives, in order."""
    many = lines * (SMALL // len(lines) + 1)
    # Some shapes alone are many enough for columns.
    many += [line for line in lines for _ in range(SMALL)][: 6 * SMALL]
    frame = _frame([line for line, _ in many], [received for _, received in many])
    bounded = pl.col("received").clip(-rfc3164.LATEST_MS, rfc3164.LATEST_MS) * 1000
    zone = zone_of(name)
    exact = parse_rows(
        frame.with_columns(bounded),
        lambda text, received: rfc3164_line.parse_line(text, received, zone),
        rfc3164.SCHEMA,
        ("text", "received"),
    )
    seen = rfc3164.parse(frame, {"timezone": name})
    assert exact.fields.schema == seen.fields.schema
    assert exact.fields.rows() == seen.fields.rows()
    assert exact.failures.rows() == seen.failures.rows()


def test_usual_lines_take_no_exact_path(monkeypatch: pytest.MonkeyPatch):
    """Common shapes are read in columns: nothing is left for the reading of single lines."""
    shapes = (
        "<{}>Jan {:2} 01:02:03 host-{} sshd[{}]: text {}",
        "<{}>2026-01-{:02}T01:02:03.5+01:00 host-{} cron: text {} {}",
        "<{}>Jan {:2} 2026 01:02:03 fw-{} : %ASA-6-302014: text {} {}",
        "<{}>17: *Jan {:2} 01:02:03.1{}: %SYS-5-CONFIG_I: text {} {}",
        "<{}>Jan {:2} 01:02:03 haproxy[{}]: text {} {}",
        "<{}>Jan {:2} 01:02:03 host-{} sshd[{}] text {}",
        "<{}>date=2026-01-{:02} devname=fw-{} devid={} level={}",
        "<{}>Jan {:2} 01:02:03 fw-{} CEF:0|V|P|1|{}|name|5|src={}",
        "<{}>Jan {:2} 01:02:03 fw-{} 1,2026/01/10 01:02:03,{},TRAFFIC,{}",
        "<{}>Jan {:2} 01:02:03 fw-{} id=firewall sn={} m={}",
        '<{}>Jan {:2} 01:02:03 host-{} {{"a": {}, "b": {}}}',
    )
    lines = [shape.format(n % 192, n % 28 + 1, n % 7, n, n) for n in range(200) for shape in shapes]
    odd: list[pl.DataFrame] = []

    def exactly(frame: pl.DataFrame, *_: object) -> Any:
        odd.append(frame)
        return rfc3164.Parsed(pl.DataFrame(schema=rfc3164.SCHEMA), rfc3164.NO_FAILURES)

    monkeypatch.setattr(rfc3164, "_parse_exactly", exactly)
    assert rfc3164.parse(_frame(lines), {}).fields.height == len(lines)
    assert sum(frame.height for frame in odd) == 0
