"""Key-value lists: `name=value name="quoted value"`, as firewalls, auditd and logfmt write them.

A value ends where the next name begins, so that unquoted values may hold blanks. A value in double
or single quotes, right after the sign and up to a separator, is without them; in it a backslash
escapes a quote or a backslash, and stays before any other character. Quotes anywhere else are plain
characters, and backslashes outside of quotes too.

In: `row`, `text`. Out: `row`, `fields:pairs`, `rest` (words that belong to no name). Every line is
taken. Options: `field_delimiter` (else blanks) and `key_value_delimiter` (else `=`); with either
there may be blanks around the sign.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.dimension import SMALL
from topology.parse import delimited_pairs
from topology.parse.delimited_pairs import BLANKS, Syntax, listed
from topology.parse.parsed import NO_FAILURES, Format, Option, Parsed, Schema, merge, parse_rows

FIELD_DELIMITER: Final = "field_delimiter"
SIGN: Final = "key_value_delimiter"
SCHEMA: Final[Schema] = {"row": pl.UInt32, "fields:pairs": pairs.PAIRS, "rest": pl.String}
QUOTED: Final = r'"(?:[^"\\]|\\(?s:.))*"' + "|" + r"'(?:[^'\\]|\\(?s:.))*'"
ESCAPE: Final = re.compile(r"""\\(["'\\])""")
TEXT: Final = pl.col("text")
HAS_QUOTE: Final = [TEXT.str.contains("[\"']")]
NAME: Final = pl.col("name")
VALUE: Final = pl.col("value")
DOUBLE: Final = VALUE.str.starts_with('"')
SINGLE: Final = VALUE.str.starts_with("'")
RARE: Final = [
    ((DOUBLE | SINGLE) & VALUE.str.contains("\\", literal=True)).alias("escaped"),
    SINGLE.alias("single"),
]
INNER: Final = [
    pl.when(DOUBLE).then(VALUE.str.strip_prefix('"').str.strip_suffix('"')).otherwise(VALUE)
]
IN_SINGLE: Final = [VALUE.str.strip_prefix("'").str.strip_suffix("'")]
UNESCAPED: Final = [VALUE.str.replace_all(ESCAPE.pattern, "${1}")]


@dataclass(frozen=True)
class Quoting(Syntax):
    """Pairs whose values may be quoted. `plain`: a pattern of values that are not, in usual lines:
    they hold no separator and do not begin with a quote."""

    plain: str

    @cached_property
    def quoted(self) -> re.Pattern[str]:
        """A quoted value and what has to be after it."""
        return re.compile(f"({QUOTED})(?=(?:{self.separator})|[{re.escape(self.trim)}]*\\Z)")

    @cached_property
    def usual(self) -> list[pl.Expr]:
        """Whether a text is nothing but pairs with such values."""
        pair = f"(?:{self.separator})(?:{self.name})(?:{self.assign})(?:{QUOTED}|{self.plain})?"
        return [TEXT.str.contains(f"^(?:{pair})*[{re.escape(self.trim)}]*$")]

    @cached_property
    def tokens(self) -> list[pl.Expr]:
        """The pairs of such a text."""
        return [TEXT.str.extract_all(f"(?:{self.name})(?:{self.assign})(?:{QUOTED}|{self.plain})?")]


@lru_cache(maxsize=64)
def syntax(field_delimiter: str | None, key_value_delimiter: str | None) -> Quoting:
    """What the options say."""
    sign = key_value_delimiter or "="
    assign = re.escape(sign)
    by_blanks = field_delimiter is None or not field_delimiter.strip(" ")
    around = BLANKS if by_blanks else "".join(sorted(set(BLANKS) - set(field_delimiter or "")))
    if key_value_delimiter or not by_blanks:
        assign = f"[{around}]*{assign}[{around}]*"
    kept_out = re.escape(sign) + "\"'" + BLANKS
    if field_delimiter is None or by_blanks:
        return Quoting(
            separator=f"[{BLANKS}]+",
            name=f"[^{kept_out}]+",
            assign=assign,
            first=" ",
            trim=BLANKS,
            skip=f"[{BLANKS}]++",
            plain=f"[^{BLANKS}\"'][^{BLANKS}]*",
        )
    ends = re.escape(field_delimiter)
    # What has several characters may begin within itself, so that none of it can be skipped.
    single = len(field_delimiter) == 1
    times = "+" if single else "{1,16}"
    skip = f"(?:[{around}]*+{ends})++[{around}]*+|[{around}]++" if single else f"[{around}]++"
    inside = re.escape(sign) + ends + "\"'\r\n"
    edge = kept_out + ends
    return Quoting(
        separator=f"(?:[{around}]*{ends}){times}[{around}]*",
        name=f"[^{edge}](?:[^{inside}]*[^{edge}])?",
        assign=assign,
        first=field_delimiter,
        trim=BLANKS + field_delimiter,
        skip=skip,
        plain=f"[^{BLANKS}{ends}\"'][^{ends}]*",
    )


def parse_line(text: str, options: Mapping[str, str]) -> tuple[Any, ...]:
    """One line, exactly: the columns of SCHEMA but `row`."""
    rules = syntax(options.get(FIELD_DELIMITER), options.get(SIGN))
    text = rules.first + text.rstrip(rules.trim)
    found: list[tuple[str, str]] = []
    others: list[str] = []
    at, start = 0, rules.search(text)
    while start is not None:
        others.append(text[at : start.start()])
        quoted = rules.quoted.match(text, start.end())
        at = quoted.end() if quoted else start.end()
        following = rules.search(text, at)
        if quoted:
            found.append((start[1], ESCAPE.sub(r"\1", quoted[1][1:-1])))
        else:
            end = following.start() if following else len(text)
            found.append((start[1], text[at:end]))
            at = end
        start = following
    others.append(text[at:])
    rest = " ".join(word for word in (each.strip(rules.trim) for each in others) if word)
    return listed(found), rest or None


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:
    """Lines without quotes, and lines of nothing but pairs, go through columns."""

    def parse_one(text: str) -> tuple[Any, ...]:
        return parse_line(text, options)

    if frame.height < SMALL:
        return parse_rows(frame, parse_one, SCHEMA)
    rules = syntax(options.get(FIELD_DELIMITER), options.get(SIGN))
    fields, usual = _parse_columns(frame, rules, options.get(SIGN) or "=")
    if usual.all():
        return Parsed(fields, NO_FAILURES)
    return merge(fields, usual, parse_rows(frame.filter(~usual), parse_one, SCHEMA))


def _parse_columns(
    frame: pl.DataFrame, rules: Quoting, sign: str
) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Fields of all rows, and which of the rows are right."""
    with_quote = frame.select(HAS_QUOTE).to_series().to_numpy()
    quoted, bare = np.flatnonzero(with_quote), np.flatnonzero(~with_quote)
    if len(quoted) == 0:
        return _bare(frame, rules)
    if len(bare) == 0:
        return _quoted(frame, rules, sign)
    parts = [_quoted(frame[quoted], rules, sign), _bare(frame[bare], rules)]
    order = np.argsort(np.concatenate([quoted, bare]))
    fields = pl.concat([each for each, _ in parts], rechunk=True)[order]
    return fields, np.concatenate([usual for _, usual in parts])[order]


def _bare(frame: pl.DataFrame, rules: Quoting) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    split = delimited_pairs.split_many(frame["text"], rules)
    columns = zip((frame["row"], split.pairs, split.rest), SCHEMA, strict=True)
    return pl.DataFrame([column.alias(name) for column, name in columns]), split.good


def _quoted(
    frame: pl.DataFrame, rules: Quoting, sign: str
) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    texts = frame.select(pl.concat_str(pl.lit(rules.first), "text").alias("text"))
    usual = texts.select(rules.usual).to_series()
    texts = texts.select(pl.when(usual).then(TEXT).otherwise(pl.lit("")).alias("text"))
    tokens = texts.select(rules.tokens).to_series()
    places = np.repeat(np.arange(frame.height, dtype=np.uint32), pairs.lengths(tokens))
    token = tokens.explode(empty_as_null=False, keep_nulls=False).to_frame("text")
    names, values = (
        token.select(TEXT.str.splitn(sign, 2).struct.rename_fields(["name", "value"]))
        .unnest("text")
        .select(
            NAME.str.strip_chars_end(BLANKS),
            VALUE.str.strip_chars_start(BLANKS).str.strip_chars_end(rules.trim),
        )
        .get_columns()
    )
    values = _unquoted(values)
    columns = [
        frame["row"],
        pairs.build(pairs.Flat(places, names, values), frame.height),
        pl.Series([None], dtype=pl.String).new_from_index(0, frame.height),
    ]
    named = [column.alias(name) for column, name in zip(columns, SCHEMA, strict=True)]
    return pl.DataFrame(named), usual.to_numpy()


def _unquoted(values: pl.Series) -> pl.Series:
    """Values without the quotes around them, and without what these need escaped.

    Expressions on a condition cost as much as on all values, so what is rare is looked for first.
    """
    frame = values.to_frame("value")
    rare = frame.select(RARE)
    values = frame.select(INNER).to_series()
    for name, expressions in (("single", IN_SINGLE), ("escaped", UNESCAPED)):
        places = np.flatnonzero(rare[name].to_numpy())
        if len(places):
            changed = values[places].to_frame("value").select(expressions).to_series()
            values = values.scatter(places, changed)
    return values


PARSER = Format(
    "kv",
    "1",
    parse,
    {
        FIELD_DELIMITER: Option("what is between pairs, up to 8 characters", "[^\"']{1,8}"),
        SIGN: Option("what is between name and value, up to 8 characters", "[^\"'\\s]{1,8}"),
    },
)
