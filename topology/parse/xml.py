"""XML 1.0 documents, one a line, flat: `Event.System.EventID` has the text of that element.

Names are the elements' from the root on, as they are written, with dots between them; an attribute
is its element's name, `@` and its own. Every element without elements in it gives its text, empty
or not; others give theirs where it is not blank. In the document's order, and what repeats repeats.

Document types are refused, so that no entity is ever declared, expanded or fetched; so are names
longer than MOST_PATH in all, which would make a line's fields many times as long as the line.

In: `row`, `text`. Out: `row`, `fields:pairs`. xml_columns.py has the same for many documents.
"""

from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat

import polars as pl

from topology import pairs
from topology.dimension import SMALL
from topology.parse import xml_columns
from topology.parse.delimited_pairs import listed
from topology.parse.parsed import (
    NO_FAILURES,
    Format,
    MalformedError,
    Parsed,
    Schema,
    merge,
    parse_rows,
)
from topology.parse.skeletons import as_pairs

SCHEMA: Final[Schema] = {"row": pl.UInt32, "fields:pairs": pairs.PAIRS}
MOST_PATH: Final = 256
BEFORE: Final = " \t\r\n\ufeff"


def read(text: str) -> list[tuple[str, str]]:
    """Names and texts of one document. Raises MalformedError."""
    found: list[tuple[str, str]] = []
    path = ""
    # Of each open element: the length of the path before it, its text, whether it has elements.
    before: list[int] = []
    texts: list[str] = []
    parents: list[bool] = []

    def start(name: str, attributes: list[str]) -> None:
        nonlocal path
        if parents:
            parents[-1] = True
        before.append(len(path))
        path = f"{path}.{name}" if path else name
        if len(path) > MOST_PATH:
            raise MalformedError(f"elements whose names have over {MOST_PATH} characters together")
        texts.append("")
        parents.append(False)
        for place in range(0, len(attributes), 2):
            if len(attributes[place]) > MOST_PATH:
                raise MalformedError(f"an attribute's name has over {MOST_PATH} characters")
            found.append((f"{path}@{attributes[place]}", attributes[place + 1]))

    def end(_: str) -> None:
        nonlocal path
        inner = texts.pop()
        if not parents.pop() or inner.strip(BEFORE):
            found.append((path, inner))
        path = path[: before.pop()]

    def characters(data: str) -> None:
        texts[-1] += data

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(text.lstrip(BEFORE), True)
    except expat.ExpatError as error:
        raise MalformedError(f"not XML: {error}") from None
    return found


def _refuse(*_: object) -> None:
    raise MalformedError("XML with a document type")


def parse_line(text: str) -> tuple[Any, ...]:
    """The column of SCHEMA. Raises MalformedError."""
    return (listed(read(text)),)


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """Documents like others of their kind go through columns, all others through `parse_line`."""
    if frame.height < SMALL:
        return parse_rows(frame, parse_line, SCHEMA)
    found = xml_columns.read_many(frame["text"], read)
    fields = pl.DataFrame([frame["row"], as_pairs(found).alias("fields:pairs")])
    if found.good.all():
        return Parsed(fields, NO_FAILURES)
    odd = parse_rows(frame.filter(~found.good), parse_line, SCHEMA)
    return merge(fields, found.good, odd)


PARSER = Format("xml", "1", parse)
