"""More distinct values than are remembered: computed in columns, with the results of one by one."""

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.formats import decode
from topology.memo import CAPACITY, FEW, Memo
from topology.normalize.qumulo_attributes import (
    ACTOR,
    ORIGIN,
    identify,
    identify_many,
    locate,
    locate_many,
)
from topology.northbound import SERIALIZERS, shared_text
from topology.parse.qumulo_line import ORIGIN_SCHEMA, read_origin, read_origins

HOSTS = st.one_of(
    st.none(),
    st.from_regex(r"[a-z]{1,3}(-[0-9]{1,2}){0,2}-?", fullmatch=True),
    st.text("a-1é", max_size=4),
)
ADDRESSES = st.one_of(
    st.none(),
    st.ip_addresses().map(str),
    st.sampled_from(["10.0.0.01", "10.0.0", "256.1.1.1", "1.2.3.4 ", "::1%eth0", "::ffff:1.2.3.4"]),
    st.text("0123456789.:ab", max_size=9),
)
USERS = st.one_of(
    st.none(),
    st.sampled_from(
        ["AD\\alice", "\\alice", "AD\\", "A\\b\\c", "system", "1000", "S-1-5-21-7", "S-1", "S-1-x"]
    ),
    st.text("AD\\S-1é\n", max_size=5),
)
WORDS = st.sampled_from(["n-1", "qumulo", "-", "", "é", "\x01", "10.0.0.1,", ",", "a,b,", "::1,"])


def _rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.rows()


@given(rows=st.lists(st.tuples(HOSTS, ADDRESSES), min_size=1, max_size=30))
def test_locate(rows: list[tuple[str | None, str | None]]):
    """Hosts and addresses of any kind."""
    columns = [pl.Series([row[at] for row in rows], dtype=pl.String) for at in range(2)]
    table = locate_many(columns)
    assert table.schema == pl.Schema(ORIGIN)
    assert _rows(table) == [locate(*row) for row in rows]


@given(rows=st.lists(st.tuples(USERS, st.booleans()), min_size=1, max_size=30))
def test_identify(rows: list[tuple[str | None, bool]]):
    """Users as logged, of log-ons and of others."""
    columns = [
        pl.Series([row[0] for row in rows], dtype=pl.String),
        pl.Series([row[1] for row in rows], dtype=pl.Boolean),
    ]
    table = identify_many(columns)
    assert table.schema == pl.Schema(ACTOR)
    assert _rows(table) == [identify(user, None, None, login) for user, login in rows]


@given(texts=st.lists(st.lists(WORDS, max_size=7).map(" ".join), min_size=1, max_size=30))
@example(texts=["n-1 qumulo - - - 10.0.0.1,", "", " ", "n-1 qumulo - - - "])
def test_read_origin(texts: list[str]):
    """What is between the time and the user of a line."""
    table = read_origins([pl.Series(texts)])
    assert table.schema == pl.Schema(ORIGIN_SCHEMA)
    assert _rows(table) == [read_origin(text) for text in texts]


def test_a_memo_that_is_full_works_in_columns():
    """From then on for many keys, at once for more than it holds; the rest as before."""
    calls: list[int] = []

    def many(columns: Sequence[pl.Series]) -> pl.DataFrame:
        calls.append(len(columns[0]))
        return columns[0].alias("text").to_frame().select(size=pl.col("text").str.len_chars())

    memo = Memo(lambda text: (len(text),), {"size": pl.UInt32}, many)
    for count, columns in (
        (CAPACITY, False),
        (FEW, False),
        (CAPACITY + 1, True),
        (FEW, False),
    ):
        calls.clear()
        table, places = memo.look_up_columns(
            [pl.Series(["x" * (n % 7) + str(n) for n in range(count)])]
        )
        assert table[pl.Series(places)]["size"].to_list() == [
            n % 7 + len(str(n)) for n in range(count)
        ]
        assert bool(calls) is columns
    memo.look_up_columns([pl.Series([f"new{n}" for n in range(FEW)])])
    calls.clear()
    memo.look_up_columns([pl.Series([f"other{n}" for n in range(FEW)])])
    assert calls == [FEW]
    memo.look_up_columns([pl.Series([f"other{n}" for n in range(FEW - 1)])])
    assert calls == [FEW]


def _line(number: int) -> bytes:
    user = f"AD\\u{number}" if number % 3 else str(number)
    operation = "smb_login" if number % 11 == 0 else "fs_open"
    address = f"10.0.{number // 256}.{number % 256}" if number % 5 else f"::{number:x}"
    return (
        f"<14>1 2026-01-27T14:12:23Z nas-{number % 40} qumulo - - - {address},"
        f'"{user}",smb2,{operation},ok,{number},"/a/{number}",""'
    ).encode()


@pytest.mark.parametrize("most", [0, 1_000_000])
def test_events_do_not_show_how_many_values_there_are(monkeypatch: pytest.MonkeyPatch, most: int):
    """Every event of a batch of distinct users and addresses is what it is by itself."""
    monkeypatch.setattr(shared_text, "MANY", most)
    encode: Callable[[pl.DataFrame], pl.Series] = SERIALIZERS["ocsf-json"]

    def texts(lines: list[bytes]) -> list[bytes]:
        raw = pl.DataFrame(
            {"row": range(len(lines)), "raw": lines}, schema={"row": pl.UInt32, "raw": pl.Binary}
        )
        found: list[bytes] = encode(decode("qumulo", raw, {}).events).to_list()
        return found

    lines = [_line(number) for number in range(CAPACITY + 400)]
    together = texts(lines)
    for at in (*range(0, 400, SMALL - 1), CAPACITY + 300):
        assert texts(lines[at : at + 50]) == together[at : at + 50]
