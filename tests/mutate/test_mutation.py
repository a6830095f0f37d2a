"""Mutations say what they say of any text, in columns, and never touch what they do not fit."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.stages import Operations
from schemas.targets import unwritable
from topology.mutate.mutation import Mutation, mutate
from topology.operations import OPERATIONS, SettingError

TEXTS = st.lists(st.one_of(st.none(), st.text("aBé_ ,.日x1", max_size=12)), max_size=30)


def mutation(name: str, setting: Any, field: str = "a", target: str | None = None) -> Mutation:
    return Mutation(name, field, target or field, OPERATIONS[name](setting, "Europe/Berlin"))


def apply(values: list[Any], name: str, setting: Any) -> tuple[list[Any], int]:
    """What one mutation makes of a column in a column of its own, and how many did not fit."""
    events = pl.DataFrame({"row": range(len(values)), "a": pl.Series(values, strict=False)})
    made, unfit = mutate(events, [mutation(name, setting, target="b")])
    assert made.select("row", "a").equals(events)
    return made["b"].to_list(), unfit.total()


@given(TEXTS)
def test_texts_change_as_python_would_change_them(texts: list[str | None]) -> None:
    """Each operation on text agrees with its plain meaning; absent stays absent."""
    frame = pl.DataFrame({"row": range(len(texts)), "a": pl.Series(texts, dtype=pl.String)})
    for name, setting, meaning in (
        ("lower", True, str.lower),
        ("upper", True, str.upper),
        ("trim", "_ ", lambda text: text.strip("_ ")),
        ("append", ".x", lambda text: text + ".x"),
        ("prepend", "x.", lambda text: "x." + text),
        ("substring", {"start": 2}, lambda text: text[2:]),
        ("substring", {"start": 1, "length": 3}, lambda text: text[1:4]),
        ("replace", {"text": "a", "with": "$1"}, lambda text: text.replace("a", "$1")),
        ("split", {"by": ","}, lambda text: text.split(",")),
        ("split", {"by": ",", "take": -1}, lambda text: text.split(",")[-1]),
        ("cast", "text", lambda text: text),
    ):
        found, unfit = mutate(frame, [mutation(name, setting)])
        assert found["a"].to_list() == [None if each is None else meaning(each) for each in texts]
        assert not unfit


@pytest.mark.parametrize(
    ("name", "setting", "values", "expected"),
    [
        ("regexp", r"^/([^/]+)/", ["/home/a/b", "home"], ["home", None]),
        ("regexp", r"\d+", ["ab12c34", "x"], ["12", None]),
        ("replace", {"pattern": r"(\d+)-(\d+)", "with": "$2-$1"}, ["a 1-22"], ["a 22-1"]),
        ("split", {"by": ",", "take": 1}, ["a,b", "a"], ["b", None]),
        ("cast", "integer", [" 12 ", "-3", "1.5", "x", ""], [12, -3, None, None, None]),
        ("cast", "number", ["1.5", "2", "x"], [1.5, 2.0, None]),
        ("cast", "number", ["nan", "inf", "-inf", "1e999"], [None] * 4),
        ("cast", "boolean", ["Yes", "0", "true", "no", "?"], [True, False, True, False, None]),
        ("cast", "text", [1, None], ["1", None]),
        ("parse_time", "iso8601", ["2026-01-27T14:12:23.5+01:00", "x"], [1769519543500, None]),
        (
            "parse_time",
            "iso8601",
            [
                "2026-01-27T13:12:23Z",
                "2026-01-27 14:12:23.250",
                "2026-01-27T14:12:23,250",
                "2026-01-27T14:12:23",
                "2026-01-27T14:12",
                "2026-01-27 13:12:23z",
                "2026-01-27T14:12:23+0100",
                "2026-01-27",
                "2026-01-27T25:12:23",
                "2026-03-29T02:30:00",
            ],
            [
                1769519543000,
                1769519543250,
                1769519543250,
                1769519543000,
                1769519520000,
                1769519543000,
                1769519543000,
                None,
                None,
                None,
            ],
        ),
        (
            "parse_time",
            "epoch",
            ["1769519543", "1769519543500", "nan"],
            [1769519543000, 1769519543500, None],
        ),
        ("parse_time", "%d/%b/%Y:%H:%M:%S %z", ["27/Jan/2026:14:12:23 +0100"], [1769519543000]),
        (
            "parse_time",
            ["epoch", "%b %d %Y %H:%M:%S%.f", "%b %d %Y %H:%M:%S%.f %z"],
            [
                "1769519543000",
                "Jan 27 2026 14:12:23",
                "Jan 27 2026 13:12:23.5 +0000",
                "Jan 27 14:12:23",
            ],
            [1769519543000, 1769519543000, 1769519543500, None],
        ),
        (
            "parse_time",
            "%Y-%m-%d %H:%M:%S",
            ["2026-01-27 14:12:23", "2026-03-29 02:30:00"],
            [1769519543000, None],
        ),
    ],
)
def test_what_fits_and_what_does_not(
    name: str, setting: Any, values: list[Any], expected: list[Any]
) -> None:
    """A value that an operation does not fit is absent in a new attribute, and counted."""
    found, unfit = apply(values, name, setting)
    assert found == expected
    assert unfit == sum(
        after is None and before is not None for before, after in zip(values, expected, strict=True)
    )


def test_northbound_yaml_has_every_operation_in_order() -> None:
    """What can be configured is what there is, and a normalizer works in the order of the page."""
    assert list(OPERATIONS) == list(Operations.model_fields)


def test_what_does_not_fit_stays_as_it_was() -> None:
    """In place a text that does not match is kept; of another type it would be a lie, and goes."""
    events = pl.DataFrame({"row": [0, 1], "a": ["/x/y", "none"], "n": ["1", "one"]})
    found, unfit = mutate(
        events, [mutation("regexp", "^/([^/]+)"), mutation("cast", "integer", "n")]
    )
    assert found["a"].to_list() == ["x", "none"]
    assert found["n"].to_list() == [1, None]
    assert unfit == {"regexp.a": 1, "cast.n": 1}


def test_lists_and_attributes_that_are_not_there() -> None:
    """A list is no text: counted and left alone. An attribute that no event has costs nothing."""
    events = pl.DataFrame({"row": [0], "a": [["x"]]})
    found, unfit = mutate(events, [mutation("lower", True), mutation("lower", True, "missing")])
    assert found.equals(events)
    assert unfit == {"lower.a": 1}


def test_codes_that_no_longer_tell_rows_apart_go() -> None:
    """What is written once for equal rows must be equal after a mutation, too."""
    events = pl.DataFrame(
        {"row": [0, 1], "user.name": ["A", "A"], "file.path": ["/x", "/y"], "@actor": [0, 0]},
        schema_overrides={"@actor": pl.UInt32},
    )
    kept, _ = mutate(events, [mutation("lower", True, "user.name")])
    assert "@actor" in kept.columns
    gone, _ = mutate(events, [mutation("regexp", "/(.)", "file.path", "user.name")])
    assert "@actor" not in gone.columns
    assert gone["user.name"].to_list() == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "setting", "told"),
    [
        ("regexp", "(", "unclosed group"),
        ("regexp", "(?=x)", "look-around"),
        ("replace", {"pattern": "[", "with": ""}, "unclosed character class"),
        ("parse_time", "tomorrow", "expected iso8601, epoch or a strftime format"),
        ("parse_time", "%b %d %H:%M:%S", "expected a year in it"),
        ("parse_time", ["epoch", "%H:%M"], "expected a year in it"),
    ],
)
def test_settings_that_cannot_be_meant(name: str, setting: Any, told: str) -> None:
    """They are refused at the start, with what was expected."""
    with pytest.raises(SettingError, match=told):
        OPERATIONS[name](setting, "UTC")


@pytest.mark.parametrize(
    "column",
    [
        *("row", "sub", "raw_data", "metadata.uid", "@code.a", "@actor"),
        *("file", "actor.user", "file.path.x", "unmapped", "unmapped.fields", "unmapped.data.x"),
        *("unmapped.x:json", "enrichments[a].name", "a..b", "a[b", ""),
    ],
)
def test_what_no_mutation_may_write(column: str) -> None:
    """The original line, the uid and what rows are told apart by; and what would take the place of
    other attributes, or be no attribute."""
    assert unwritable(column)


@pytest.mark.parametrize("column", ["unmapped.x", "file.path", "resources[0].name", "user agent"])
def test_what_a_mutation_may_write(column: str) -> None:
    """Any other attribute, whether OCSF has it or not."""
    assert unwritable(column) is None
