"""JSON bodies in columns: equal to the exact path row by row, and which bodies they take."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.commands.parse import event_texts
from app.demo.bodies import Record, body
from app.demo.vocabulary import Person
from tests.parse.json_bodies import TRAPS, changed, odd, usual
from topology import formats
from topology.dimension import SMALL
from topology.formats import CHAINS
from topology.normalize import NORMALIZERS
from topology.northbound import SERIALIZERS
from topology.parse import qumulo, qumulo_json, qumulo_json_columns
from topology.parse.nesting import DEEPEST
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


CSV = st.builds('{},"{}",{},{},{},{},"{}","{}"'.format, *[st.sampled_from(["a", "b c", ""])] * 8)
BODIES = st.one_of(usual(), changed(), odd(), odd())


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
@given(st.lists(usual(), min_size=1, max_size=12))
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


def test_all_bodies_of_the_demo_are_taken():
    """With every order of keys, escape and quirk that its stream has."""
    records = [
        Record(ALICE, "smb2", "fs_read_data", "ok", "14", 'a/"b"/é', size=5),
        Record(ALICE, "smb2", "fs_rename", "ok", "14", "/a", "/b"),
        Record(ALICE, "api", "nfs_modify_export", "ok", "9", "/PSS"),
    ]
    bodies = [
        body(record, "json", variant=variant).decode()
        for record in records
        for variant in range(105)
    ]
    assert [_exact(text) for text in bodies] == _columns(bodies)


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


GOLDEN = [
    line
    for path in sorted((Path(__file__).parents[1] / "golden/qumulo").glob("*.log"))
    for line in path.read_bytes().split(b"\n")
]


@pytest.mark.parametrize("company", ["json", "csv and json", "invalid bytes and json"])
@settings(max_examples=25)
@given(lines=st.lists(LINES, min_size=1, max_size=12))
@example(lines=GOLDEN)
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


def test_states_of_too_many_levels_are_refused_in_any_company():
    """By the exact path and by columns at the same depth; no line beside them is."""
    around = 2

    def line(depth: int) -> bytes:
        state = '{"a":' + "[" * (depth - around - 1) + "]" * (depth - around - 1) + "}"
        return f'{HEADER}{{"operation":"fs_open","details":{{"before":{state}}}}}'.encode()

    lines = [line(DEEPEST), line(DEEPEST + 1), line(800), line(3)]
    alone = [event_texts([each], "qumulo", {}, 7) for each in lines]
    assert [b"levels" in text for (text,) in alone] == [False, True, True, False]
    together = event_texts(lines * SMALL, "qumulo", {}, 7)
    assert together == [text for (text,) in alone] * SMALL
