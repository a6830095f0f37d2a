"""What a relay sends instead of the same message again, as rsyslog's RepeatedMsgReduction does.

`message repeated 5 times: [ text]` is `text`, five times more; `last message repeated 5 times`
names no text and stays the message.

In: `row`, `text`. Out: `row`, `repeated` (Int64, null for a message of its own), `msg`, which is
null for an empty text.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from topology.parse.parsed import NO_FAILURES, Format, Parsed

BEGINS: Final = ("message repeated ", "last message repeated ")
MESSAGE: Final = re.compile(r"message repeated ([0-9]{1,9}) times: \[ ?(.*)\]", re.DOTALL)
LAST: Final = re.compile(r"last message repeated ([0-9]{1,9}) times")
TEXT: Final = pl.col("text")
LOOKS: Final = [TEXT.str.starts_with(BEGINS[0]) | TEXT.str.starts_with(BEGINS[1])]
MESSAGES: Final = [
    pl.col("row"),
    pl.lit(None, pl.Int64).alias("repeated"),
    pl.when(TEXT != "").then(TEXT).alias("msg"),
]


def parse_line(text: str) -> tuple[int | None, str]:
    """How often, and the text."""
    found = MESSAGE.fullmatch(text)
    if found is not None:
        return int(found[1]), found[2]
    found = LAST.fullmatch(text)
    return (int(found[1]) if found else None), text


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """Such lines are rare by their nature and read one by one."""
    fields = frame.select(MESSAGES)
    places = np.flatnonzero(frame.select(LOOKS).to_series().to_numpy())
    if len(places):
        counts, texts = fields["repeated"].to_list(), fields["msg"].to_list()
        for place in places:
            count, text = parse_line(texts[place])
            counts[place], texts[place] = count, text or None
        fields = pl.DataFrame(
            [
                fields["row"],
                pl.Series("repeated", counts, dtype=pl.Int64),
                pl.Series("msg", texts, dtype=pl.String),
            ]
        )
    return Parsed(fields, NO_FAILURES)


PARSER = Format("repeated", "1", parse)
