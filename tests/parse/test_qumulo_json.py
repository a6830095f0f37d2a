"""JSON bodies in columns: equal to the exact path row by row, and which bodies they take."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.demo.bodies import Record, body
from app.demo.vocabulary import Person
from topology import formats
from topology.dimension import SMALL
from topology.formats import CHAINS
from topology.normalize import NORMALIZERS
from topology.northbound import SERIALIZERS
from topology.parse import qumulo, qumulo_json, qumulo_json_columns
from topology.parse.parsed import MalformedError, parse_rows

CSV_BODY = '::1,"a",smb2,fs_open,ok,1,"/a",""'
HEADER = "<14>1 2026-01-27T14:12:23.9558Z n-1 qumulo - - - "
ALICE = Person(r"AD\alice", "alice", "S-1-5-21-1", "500", "10.0.0.1", "Legal")


def _frame(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(texts)), "text": texts}, schema={"row": pl.UInt32, "text": pl.String}
    )


def _exact(text: str) -> tuple[Any, ...] | None:
    try:
        return qumulo_json.parse_body(text)
    except MalformedError:
        return None


def _columns(bodies: list[str]) -> list[tuple[Any, ...] | None]:
    """What columns say of each body; None where they leave it to the exact path."""
    fields, good = qumulo_json_columns.read_many(pl.Series(bodies, dtype=pl.String))
    rows = zip(fields.rows(), good.tolist(), strict=True)
    return [values if vouched else None for values, vouched in rows]


# Fragments of JSON, and of what only looks like it.
CHARACTERS = st.sampled_from([
    *"abAD/.,:{}[] 0é日\U0001f600\u2028\x7f\ufeff",
    r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t",
    r"\u00e9", r"\u0000", r"\u001f", r"\u0041", r"\ud83d\ude00", r"\uD83D\uDE00",
    r"\"before\": {", '": ', r"\"path\": ",
])  # fmt: skip
ODD_CHARACTERS = st.sampled_from(
    ["\\", r"\a", r"\u12", r"\ud800", r"\udc00", r"\ud83dx", '"', "\n", "\x00", "\x1f", r"\x41"]
)
STRINGS = st.lists(CHARACTERS, max_size=8).map(lambda parts: f'"{"".join(parts)}"')
ODD_STRINGS = st.lists(st.one_of(CHARACTERS, ODD_CHARACTERS), max_size=6).map(
    lambda parts: f'"{"".join(parts)}"'
)
NUMBERS = st.one_of(
    st.integers(-(10**18) + 1, 10**18 - 1).map(str),
    st.sampled_from(["0", "4096", "-1"]),
)
ODD_NUMBERS = st.sampled_from(
    [
        "-0", "00", "01", "1.5", "1.0", "-0.0", "1e5", "1E+20", "1e400", "0.1e-7", "+1", ".5", "5.",
        "999999999999999999", "1000000000000000000", "9223372036854775807", "9223372036854775808",
        "-9223372036854775808", "-9223372036854775809", "18446744073709551616",
        "140624751830626345080086044861", "123456789.123456789", "NaN", "Infinity", "1_0",
    ]
)  # fmt: skip
LITERALS = st.sampled_from(["null", "true", "false"])
NAMES = ["user_id", "user_ip", "protocol", "operation", "status", "details"]
DETAILS = [
    "path", "target", "extra_name", "second_extra_name", "file_id", "offset", "size", "file_size",
    "before", "after",
]  # fmt: skip
ANY_NAME = st.sampled_from(
    [
        *NAMES,
        *DETAILS,
        "sid",
        "auth_id",
        "name",
        "",
        "x",
        "pat",
        "paths",
        "é",
        r"p\u0061th",
        r"a\"b",
    ]
)


def _join(members: list[tuple[str, str]], style: tuple[str, str]) -> str:
    comma, colon = style
    return "{" + comma.join(f'"{name}"{colon}{value}' for name, value in members) + "}"


STYLES = st.sampled_from(
    [(", ", ": ")] * 4
    + [(",", ":")] * 2
    + [(", ", ":"), (" ,", " : "), (",\t", ":\n"), (",,", ":")]
)
VALUES = st.recursive(
    st.one_of(STRINGS, NUMBERS, LITERALS, ODD_NUMBERS, ODD_STRINGS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: f"[{', '.join(found)}]"),
        st.builds(_join, st.lists(st.tuples(ANY_NAME, inner), max_size=3), STYLES),
    ),
    max_leaves=5,
)


@st.composite
def _usual(draw: st.DrawFn) -> str:
    """A body as clusters write them: any order of keys, any of the documented details."""
    style = draw(st.sampled_from([(", ", ": "), (",", ":")]))
    texts = st.text(st.characters(codec="utf-8"), max_size=12)

    def text(strategy: st.SearchStrategy[str] = texts) -> str:
        return json.dumps(draw(strategy), ensure_ascii=draw(st.booleans()))

    name = st.text(st.characters(codec="utf-8", exclude_characters='"{}', min_codepoint=32))
    user = [("sid", text(st.just("S-1-5"))), ("auth_id", text(name)), ("name", text(name))]
    owner = _join([("sid", text()), ("auth_id", text())], style)
    change = _join([("ctime", text()), ("owner", owner), ("mode", "511"), ("acl", "[]")], style)
    details = {
        **{key: text() for key in ("path", "target", "file_id")},
        **{key: draw(NUMBERS) for key in ("offset", "size", "file_size")},
        "before": change,
        "after": change,
    }
    chosen = draw(st.permutations([(key, details[key]) for key in details if draw(st.booleans())]))
    members = [
        ("user_id", _join(draw(st.permutations(user)), style)),
        *((key, text()) for key in ("user_ip", "protocol", "operation", "status")),
        ("details", _join(chosen, style)),
    ]
    return _join(draw(st.permutations(members)), style)


@st.composite
def _odd(draw: st.DrawFn) -> str:
    """A body with keys missing, repeated, in the wrong place or of the wrong kind."""
    style = draw(STYLES)
    plain = st.one_of(STRINGS, STRINGS, VALUES)
    user = st.lists(
        st.tuples(
            st.sampled_from(["sid", "auth_id", "name", "name", "x"]),
            st.one_of(STRINGS, ODD_STRINGS, VALUES),
        ),
        max_size=4,
    ).map(lambda members: _join(members, style))
    detail = st.one_of(
        st.tuples(st.sampled_from(DETAILS[:5]), plain),
        st.tuples(st.sampled_from(DETAILS[5:8]), st.one_of(NUMBERS, NUMBERS, VALUES)),
        st.tuples(st.sampled_from(DETAILS[8:]), VALUES),
        st.tuples(ANY_NAME, VALUES),
    )
    details = st.lists(detail, max_size=6).map(lambda members: _join(members, style))
    member = st.one_of(
        st.tuples(st.sampled_from(NAMES[1:5]), plain),
        st.tuples(st.just("details"), st.one_of(details, details, VALUES)),
        st.tuples(ANY_NAME, VALUES),
    )
    members = draw(st.lists(member, max_size=7))
    members.append(("operation", '"fs_open"'))
    if draw(st.integers(0, 9)):
        members.append(("user_id", draw(user)))
    text = _join(draw(st.permutations(members)), style)
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at] + draw(st.sampled_from(['"', "}", "{", "\\", ",", " ", ""])) + text[at + 1 :]
        )
    return text


CSV = st.builds('{},"{}",{},{},{},{},"{}","{}"'.format, *[st.sampled_from(["a", "b c", ""])] * 8)
BODIES = st.one_of(_usual(), _odd(), _odd())
TRAPS = [
    r'{"user_id": {"name": "AD\alice"}, "operation": "fs_open"}',
    r'{"user_id": {"name": "AD\"}, "operation": "fs_open", "x": "y"}',
    '{"user_id": {}, "operation": "a", "operation": "b"}',
    '{"user_id": {}, "operation": "a", "details": {"path": "/a", "path": null}}',
    '{"user_id": {}, "operation": "a", "path": "/top", "details": {}}',
    '{"details": {"user_id": {"name": "in"}}, "user_id": {"name": "out"}, "operation": "a"}',
    '{"user_id": {}, "operation": "a", "details": {"before": {"after": {"a": 1}}}}',
    '{"user_id": {}, "operation": "a", "details": {"after": {"before": {"a": 1}}, "x": 1}}',
    '{"user_id": {}, "operation": "a", "details": {"after": {"before": {}}, "before": {}}}',
    '{"user_id": {}, "operation": "a", "details": {"before": {"a": 1, "a": 2.50, "b": 1e16}}}',
    '{"user_id": {}, "operation": "a", "details": {"before": {"a": -0, "b": 1234567890123456789}}}',
    '{"user_id": {}, "operation": "a", "details": {"before": 0, "after": []}}',
    '{"user_id": {}, "operation": "a", "before": {}, "details": null}',
    '{"user_id": {}, "operation": "a", "details": {}, "details": {"path": "/a"}}',
    '{"user_id": "bob", "operation": "a", "x": {"y": 1}}',
    '{"user_id": {"name": {"x": 1}}, "operation": "a"}',
    r'{"user_id": {"name": "\u0000\ud800"}, "operation": "a"}',
    '{"user_id": {"sid": 140624751830626345080086044861}, "operation": "a"}',
    r'{"x\"user_id": {}, "user_id": {}, "operation": "a"}',
    '{"user_id": {}, "operation": "a"} ',
    '{"user_id": {}, "operation": ""}',
    '{"user_id": {}}',
    "{}",
]


@settings(max_examples=300)
@given(st.lists(BODIES, min_size=1, max_size=12), st.booleans())
@example(TRAPS, False)
@example(TRAPS, True)
def test_what_columns_vouch_for_is_exact(bodies: list[str], many: bool):
    """Whatever is in the bodies and however many there are, a vouched row is parse_body's."""
    bodies = bodies * (SMALL // len(bodies) + 1 if many else 1)
    for text, seen in zip(bodies, _columns(bodies), strict=True):
        if seen is not None:
            assert _exact(text) == seen, text


@settings(max_examples=150)
@given(st.lists(_usual(), min_size=1, max_size=12))
def test_usual_bodies_are_taken(bodies: list[str]):
    """None of the bodies that clusters write is left to the exact path."""
    assert [_exact(text) for text in bodies] == _columns(bodies)


@pytest.mark.parametrize(
    "text",
    [
        r'{"user_id":{"name":"AD\alice"},"operation":"fs_open"}',
        r'{"user_id":{"name":"AD\bob"},"operation":"fs_open"}',
        '{"user_id":{},"operation":"fs_open","details":{"target":null,"offset":null}}',
        '{"user_id":{},"operation":"fs_open","session":5,"details":{"path":"/a","took":1.5}}',
        r'{"user_id":{},"operation":"fs_open","details":{"path":"/{5C0E}/\u00e9\ud83d\ude00\"}"}}',
        '{"user_id":{},"operation":"fs_write_metadata","details":{"before":{"a":{"b":{"c":"}"}}}}}',
    ],
)
def test_frequent_quirks_are_taken(text: str):
    """Names not escaped, nulls, keys of a later release, braces in paths, nested changes."""
    assert [_exact(text)] == _columns([text])


@pytest.mark.parametrize("variant", range(105))
@pytest.mark.parametrize(
    "record",
    [
        Record(ALICE, "smb2", "fs_read_data", "ok", "14", 'a/"b"/é', size=5),
        Record(ALICE, "smb2", "fs_rename", "ok", "14", "/a", "/b"),
        Record(ALICE, "api", "nfs_modify_export", "ok", "9", "/PSS"),
    ],
)
def test_all_bodies_of_the_demo_are_taken(record: Record, variant: int):
    """With every order of keys, escape and quirk that its stream has."""
    text = body(record, "json", variant=variant).decode()
    assert [_exact(text)] == _columns([text])


@settings(max_examples=60)
@given(st.lists(st.one_of(BODIES, CSV, st.text(max_size=20)), min_size=1, max_size=20))
def test_mixed_batches_agree_with_the_exact_path(bodies: list[str]):
    """CSV, JSON and neither: many at once give what each alone gives, in order."""
    bodies = bodies + TRAPS + [CSV_BODY] * 9
    texts = bodies * (SMALL // len(TRAPS) + 1)
    frame = _frame(texts)
    exact = parse_rows(frame, qumulo.parse_body, qumulo.SCHEMA)
    seen = qumulo.parse(frame, {})
    assert exact.fields.schema == seen.fields.schema
    assert exact.fields.rows() == seen.fields.rows()
    assert exact.failures.rows() == seen.failures.rows()


HEADERS = st.sampled_from(
    [HEADER] * 6
    + [
        "<14>1 2026-01-27T14:12:23.9558Z n-2 qumulo - - - ",
        "<13>1 2026-01-27T14:12:23+02:00 n-2 qumulo - - - ",
        "<14>1 - - qumulo - - - ",
        "<999>1 2026-01-27T14:12:23Z n-2 qumulo - - - ",
        '<14>1 2026-01-27T14:12:23Z n-2 qumulo - - [a b="{"] ',
        "<14>1 2026-01-27T14:12:23Z n-2 qumulo - - - \ufeff",
        "<14>1 2026-01-27T14:12:23Z n-2 qumulo - -  ",
        "<14>1 2026-01-27T14:12:23Z {-2 qumulo - - - ",
        "",
    ]
)
LINES = st.builds(lambda header, text: (header + text).encode(), HEADERS, st.one_of(BODIES, CSV))


def _raw(lines: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(lines)), "raw": lines}, schema={"row": pl.UInt32, "raw": pl.Binary}
    )


@pytest.mark.parametrize("company", ["json", "csv and json", "invalid bytes and json"])
@settings(max_examples=25)
@given(lines=st.lists(LINES, min_size=1, max_size=12))
def test_a_line_gives_the_same_event_in_a_large_batch(company: str, lines: list[bytes]):
    """Byte for byte what it gives alone, and the same reason when it is none."""
    usual = [
        HEADER.encode() + body(Record(ALICE, "smb2", "fs_open", "ok", "1", f"/{n}"), "json")
        for n in range(SMALL)
    ]
    if company == "csv and json":
        usual += [HEADER.encode() + b'::1,"AD\\a",smb3,fs_rename,ok,1,"/a","/b"'] * SMALL
    elif company == "invalid bytes and json":
        usual[7] += b"\xff"
    together = formats.decode("qumulo", _raw(usual[:99] + lines + usual[99:]), {})
    texts = SERIALIZERS["ocsf-json"](together.events).to_list()
    events = dict(zip(together.events["row"].to_list(), texts, strict=True))
    failures = {row: reason for row, *reason in together.failures.rows()}
    assert not events.keys() & failures.keys()
    for row, line in enumerate(lines, 99):
        alone = formats.decode("qumulo", _raw([line]), {})
        if alone.events.height:
            assert SERIALIZERS["ocsf-json"](alone.events).to_list() == [events[row]]
        else:
            assert [reason for _, *reason in alone.failures.rows()] == [failures[row]]


def test_codes_tell_kinds_and_origins_apart_in_mixed_batches():
    """Rows of either format keep their own operation and address."""
    lines = []
    for row in range(4 * SMALL):
        record = Record(
            Person("a", "a", "", "", f"10.0.0.{row % 7}", ""), "smb2", f"fs_op_{row % 5}", "ok", "1"
        )
        lines.append(HEADER.encode() + body(record, "csv" if row % 3 else "json"))
    events = formats.decode("qumulo", _raw(lines), {}).events
    assert [f"fs_op_{row % 5}" for row in range(len(lines))] == events["api.operation"].to_list()
    assert [f"10.0.0.{row % 7}" for row in range(len(lines))] == events["src_endpoint.ip"].to_list()
    for code, names in (("@class", ["api.operation"]), ("@source", ["src_endpoint.ip"])):
        assert events.group_by(code).agg(pl.col(names).n_unique() == 1)[names[0]].all()


@pytest.mark.parametrize("known", ["sid", "auth_id"])
def test_fields_with_an_id_of_one_kind(known: str):
    """CSV bodies among which the few JSON ones know a SID and no auth_id, or the other way."""
    fields, _ = CHAINS["qumulo"].shortcut.parse(_frame([HEADER + CSV_BODY] * 2))
    fields = fields.with_columns(pl.Series(known, [None, "7"]))
    events = NORMALIZERS["qumulo"].normalize(fields, {})
    seen = "actor.user.uid" if known == "sid" else "actor.user.uid_alt"
    assert events[seen].to_list() == [None, "7"]
