"""Texts through both paths of a parser, for tests that compare them."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from topology import pairs
from topology.dimension import SMALL
from topology.parse.parsed import Format, Parsed

NO_OPTIONS: Mapping[str, str] = {}


def frame(texts: Sequence[str]) -> pl.DataFrame:
    """What a parser is given."""
    return pl.DataFrame(
        {"row": range(len(texts)), "text": texts, "received": [1_769_523_200_000] * len(texts)},
        schema={"row": pl.UInt32, "text": pl.String, "received": pl.Int64},
    )


def one(parser: Format, text: str, options: Mapping[str, str] = NO_OPTIONS) -> dict[str, Any]:
    """The fields of a text, pairs as an object; or `error` alone."""
    parsed = parser.parse(frame([text]), options)
    if parsed.failures.height:
        return {"error": parsed.failures["reason"][0]}
    return {
        name.removesuffix(pairs.SUFFIX): pairs.as_object(value)
        if name.endswith(pairs.SUFFIX) and value is not None
        else value
        for name, value in parsed.fields.row(0, named=True).items()
    }


def assert_same(
    parser: Format, texts: Sequence[str], options: Mapping[str, str] = NO_OPTIONS
) -> None:
    """In a batch for columns each text gives what it gives alone, on the exact path."""
    many = list(texts) * (SMALL // max(1, len(texts)) + 1)
    together = parser.parse(frame(many), options)
    alone = [parser.parse(frame([text]), options) for text in texts]
    repeats = range(len(many) // max(1, len(texts)))
    expected_fields = [
        (number * len(texts) + place, *row[1:])
        for number in repeats
        for place, parsed in enumerate(alone)
        for row in parsed.fields.rows()
    ]
    expected_failures = [
        (number * len(texts) + place, parsed.failures["reason"][0])
        for number in repeats
        for place, parsed in enumerate(alone)
        if parsed.failures.height
    ]
    assert together.fields.rows() == expected_fields
    assert sorted(together.failures.rows()) == expected_failures
    assert _schemas(alone) <= {str(together.fields.schema)}


def _schemas(parsed: list[Parsed]) -> set[str]:
    return {str(each.fields.schema) for each in parsed}
