"""Regular expressions: RE2, which runs in linear time whatever the pattern and the text.

Called for each value, RE2 costs 3 µs; Polars' own regular expressions (Rust), also linear, cost a
tenth on a column. They are used for patterns that mean the same in both: without the classes that
are ASCII in one and Unicode in the other, and without what only one of them gives a meaning.
"""

import re
from functools import cache

import polars as pl
import re2

FLAGS = {2: "i", 8: "m", 16: "s"}
"""Python's re flags and how RE2 spells them in a pattern."""


@cache
def compiled(pattern: str) -> "re2._Regexp":
    """The pattern, compiled. Raises re2.error for what RE2 does not take."""
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    return re2.compile(pattern, options)


CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
"""RE2's classes are ASCII, Rust's are not."""
SIMPLE = frozenset("tnrf")
GROUP = re.compile(r"\(\?(?P<flags>[ims]*)[:)]")
"""The extensions of groups that mean the same in both."""
OPERATORS = ("&&", "--", "~~")
"""What only Rust takes for an operator within brackets."""


@cache
def polars_pattern(pattern: str) -> str | None:
    """The pattern in Polars' dialect, or None if it might not mean the same there."""
    translated = _translated(pattern)
    if translated is None:
        return None
    try:
        pl.Series([""]).str.contains(translated)
    except pl.exceptions.ComputeError:
        return None
    return translated


def _translated(pattern: str) -> str | None:
    out: list[str] = []
    at, bracket, folded, worded = 0, False, False, False
    while at < len(pattern):
        sign = pattern[at]
        width = 1
        if not sign.isascii() or pattern.startswith("{,", at):
            return None
        if sign == "\\":
            escaped = pattern[at + 1 : at + 2]
            found = _escape(escaped, bracket=bracket)
            if found is None:
                return None
            worded |= escaped in "wW"
            sign, width = found, 2
        elif bracket:
            if sign == "[" or pattern.startswith(OPERATORS, at):
                return None
            bracket = sign != "]"
        elif sign == "[":
            bracket = True
            width = 2 if pattern.startswith("^", at + 1) else 1
            if pattern.startswith("]", at + width):
                return None
            sign = pattern[at : at + width]
        elif pattern.startswith("(?", at):
            group = GROUP.match(pattern, at)
            if group is None:
                return None
            folded |= "i" in group["flags"]
        out.append(sign)
        at += width
    # Ignoring case, Rust's word characters have two that are not ASCII, RE2's have not.
    return None if folded and worded else "".join(out)


def _escape(sign: str, *, bracket: bool) -> str | None:
    if sign in CLASSES:
        return CLASSES[sign] if bracket else f"[{CLASSES[sign]}]"
    if sign.lower() in CLASSES and not bracket:
        return f"[^{CLASSES[sign.lower()]}]"
    if sign in ("b", "B") and not bracket:
        return rf"(?-u:\{sign})"
    punctuation = sign.isascii() and sign.isprintable() and not sign.isalnum()
    return f"\\{sign}" if sign in SIMPLE or (punctuation and sign not in "<>") else None
