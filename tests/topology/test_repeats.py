"""Where an event repeats a value: each way that texts hold it, and nothing that only looks so."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.repeats import repeats

TEXTS = st.text(st.characters(codec="utf-8"), min_size=4, max_size=30)


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("alice", "/home/alice/x", True),
        ("alice", "Malice2", True),
        ("ALICE", "/home/alice", True),
        ("alice", "alicia", False),
        ("bob", "/home/bob/x", True),
        ("bob", "BOB's file", True),
        ("bob", "bobsled", False),
        ("bob", "discobob", False),
        ("a", "a", True),
        ("a", "a b", False),
        ("--", "a -- b", False),
        ("--", "--", True),
        ("", "", False),
        ("", "anything", False),
        (None, "None", False),
        ("alice", None, False),
        (".*", "everything", False),
    ],
)
def test_a_text(value: str | None, text: str | None, found: bool) -> None:
    """From four characters on anywhere, shorter ones as words, one alone; in either case."""
    events = pl.DataFrame(
        {"v": [value], "t": [text], "l": [[text]]},
        schema={"v": pl.String, "t": pl.String, "l": pl.List(pl.String)},
    )
    seen = repeats(events, ["v"], ["t", "l"], {"v"})
    assert ("t" in seen) == found
    assert ("l" in seen) == found
    if found:
        assert seen["t"].rows.tolist() == [0]
        assert seen["t"].equal.tolist() == [value == text]


@given(TEXTS, TEXTS)
def test_json(value: str, around: str) -> None:
    """As JSON writes it: quotes, backslashes and every control character."""
    element = json.dumps({"name": around, "value": value}, ensure_ascii=False)
    events = pl.DataFrame({"v": [value], "enrichments[x]:json": [element]})
    assert repeats(events, ["v"], ["enrichments[x]:json"], set())


def test_json_that_spells_characters() -> None:
    """It is not read, so it counts; a backslash before a u does not."""
    told = ['"g\\u00fcnter"', '"c:\\\\u00fc"', '"\\\\\\u00fc"', '"plain"', '"\\u00fc"']
    events = pl.DataFrame({"v": [*["alice"] * 4, None], "x:json": told})
    assert repeats(events, ["v"], ["x:json"], set())["x:json"].rows.tolist() == [0, 2]


def test_rows_are_looked_at_each_for_itself() -> None:
    """A value of another row is none of this one's; values that do not keep equality say so."""
    events = pl.DataFrame(
        {"v": ["alice", "bernard", None], "w": ["x", "claire", "dora"], "t": ["bernard"] * 3}
    )
    assert repeats(events, ["v", "w"], ["t"], {"w"})["t"].rows.tolist() == [1]
    assert repeats(events, ["v", "w"], ["t"], {"w"})["t"].equal.tolist() == [False]
    assert repeats(events, ["v", "w"], ["t"], {"v"})["t"].equal.tolist() == [True]
