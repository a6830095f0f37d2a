"""STRUCTURED-DATA of RFC 5424 section 6.3: `-` or one or more `[id name="value" ...]`.

In JSON it is an object of objects; a parameter that repeats gives a list. In a value only `\\"`,
`\\\\` and `\\]` are escapes; a backslash before any other character stays as it is.
"""

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from topology.dimension import factorize
from topology.parse.parsed import MalformedError

NIL = "{}"
NAME = r'[^\x00-\x20\x7f="\]]+'
VALUE = r'"(?:[^"\\\]]|\\(?s:.))*"'
ELEMENT = re.compile(rf"\[({NAME})((?: {NAME}={VALUE})*)\]")
PARAMETER = re.compile(rf" ({NAME})=({VALUE})")
ESCAPED = re.compile(r'\\(["\\\]])')
BLOCK = rf"(?:\[{NAME}(?: {NAME}={VALUE})*\])+"
BLOCK_PATTERN = re.compile(BLOCK)
BLOCK_AND_MESSAGE = [
    pl.concat_str("sd", pl.concat_str(pl.lit(" "), "rest").fill_null(""))
    .str.extract_groups(rf"^({BLOCK})(?: ((?s:.*)))?$")
    .struct.rename_fields(["block", "message"])
    .struct.unnest()
]


class Split(NamedTuple):
    """STRUCTURED-DATA as JSON and the message after it; `good` is false where neither is right."""

    sd: pl.Series
    message: pl.Series
    good: npt.NDArray[np.bool_]


def split_one(text: str) -> tuple[str, str]:
    """The exact path: everything after MSGID and its space. Raises MalformedError."""
    if text == "-" or text.startswith("- "):
        return NIL, text[2:]
    found = BLOCK_PATTERN.match(text)
    if found is None or text[found.end() : found.end() + 1] not in ("", " "):
        raise MalformedError(f"STRUCTURED-DATA is malformed: {text[:40]!r}")
    return to_json(found[0]), text[found.end() + 1 :]


def split_many(parts: pl.DataFrame) -> Split:
    """The same in columns. `sd`: the text up to the next space, `rest`: what follows, or null."""
    rows = parts.height
    plain = parts["sd"] == "-"
    if not plain.null_count() and plain.all():
        nil = pl.Series([NIL]).new_from_index(0, rows)
        return Split(nil, parts["rest"], np.ones(rows, dtype=np.bool_))
    good = plain.fill_null(value=False).to_numpy().copy()
    bracketed = parts["sd"].str.starts_with("[").fill_null(value=False).to_numpy().nonzero()[0]
    groups = parts[bracketed].select(BLOCK_AND_MESSAGE)
    good[bracketed] = groups["block"].is_not_null().to_numpy()
    (blocks,) = factorize(groups, ["block"])
    texts = blocks.distinct(groups["block"]).to_list()
    known = pl.Series([NIL, *(NIL if text is None else to_json(text) for text in texts)])
    which = np.zeros(rows, dtype=np.uint32)
    which[bracketed] = blocks.codes + np.uint32(1)
    source = np.arange(rows, dtype=np.uint32)
    source[bracketed] = np.arange(rows, rows + len(bracketed), dtype=np.uint32)
    messages = pl.concat([parts["rest"], groups["message"]])
    return Split(known[pl.Series(which)], messages[pl.Series(source)], good)


def to_json(block: str) -> str:
    """Well-formed elements as a JSON object of objects."""
    elements: dict[str, dict[str, str | list[str]]] = {}
    for element in ELEMENT.finditer(block):
        parameters = elements.setdefault(element[1], {})
        for parameter in PARAMETER.finditer(element[2]):
            value = ESCAPED.sub(r"\1", parameter[2][1:-1])
            known = parameters.get(parameter[1])
            if known is None:
                parameters[parameter[1]] = value
            else:
                parameters[parameter[1]] = [*(known if isinstance(known, list) else [known]), value]
    return orjson.dumps(elements).decode()
