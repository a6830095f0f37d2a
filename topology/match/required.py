"""Texts of which a regular expression needs one: a cheap search for them narrows down its rows.

Reads the syntax of RE2 (its syntax page) as far as that is simple, and knows nothing of the rest.
"""

import re
from functools import cache
from typing import Final

NOTHING: Final[frozenset[str]] = frozenset()
MOST = 16
"""Texts of one regular expression; the search for more is not that cheap."""
SHORTEST = 2
GROUP = re.compile(r"\(\?(?:P?<\w+>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
REPEAT = re.compile(r"(?:[*?]|(?P<least>\+)|\{(?P<count>\d+)(?:,\d*)?\})\??")
BRACKET = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
BOTH_CASES = re.compile(r"\[([A-Za-z])([A-Za-z])\]")
CLASSES, ASSERTIONS = "dDwWsS", "bBAz"
FOLDED = frozenset("sk")
"""ASCII letters that are also the lower or upper case of letters that are not."""


class _UnknownError(ValueError):
    """Something in the pattern that this does not read."""


@cache
def required(pattern: str) -> frozenset[str]:
    """ASCII texts in lower case: a value that matches has at least one of them once it is in lower
    case. Empty if nothing is known."""
    reader = _Reader(pattern)
    try:
        found = reader.alternatives()
    except _UnknownError:
        return NOTHING
    return found if reader.at == len(pattern) else NOTHING


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        flags = [found["flags"] or "" for found in GROUP.finditer(pattern)]
        self._folded = any("i" in each for each in flags)

    def alternatives(self) -> frozenset[str]:
        """What one of the alternatives up to a closing bracket or the end needs."""
        found = [self._sequence()]
        while self.pattern.startswith("|", self.at):
            self.at += 1
            found.append(self._sequence())
        texts = NOTHING.union(*found)
        return texts if all(found) and len(texts) <= MOST else NOTHING

    def _sequence(self) -> frozenset[str]:
        """The most telling of what the items of one alternative need."""
        needs: list[frozenset[str]] = []
        run = ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            item = self._item()
            least = self._least()
            if isinstance(item, str) and least:
                run += item
                if least is True:
                    continue
            # The next item does not follow the one before at once, or not always.
            needs.append(_telling(run))
            run = ""
            if isinstance(item, frozenset) and least:
                needs.append(item)
        needs.append(_telling(run))
        return max(needs, key=lambda texts: (min(map(len, texts), default=0), -len(texts)))

    def _item(self) -> str | frozenset[str]:
        """A letter that has to be there, or what a group needs."""
        pattern, start = self.pattern, self.at
        sign = pattern[start]
        if sign == "\\":
            return self._escaped()
        if sign == "[":
            bracket = BRACKET.match(pattern, start)
            if bracket is None:
                raise _UnknownError
            self.at = bracket.end()
            cases = BOTH_CASES.fullmatch(bracket[0])
            same = cases is not None and cases[1].lower() == cases[2].lower()
            return cases[1].lower() if cases is not None and same else NOTHING
        if sign == "(":
            return self._group()
        if sign in "*+?{":
            raise _UnknownError
        self.at += 1
        return NOTHING if sign in ".^$" else self._letter(sign)

    def _escaped(self) -> str | frozenset[str]:
        sign = self.pattern[self.at + 1 : self.at + 2]
        self.at += 2
        if sign and sign in CLASSES + ASSERTIONS:
            return NOTHING
        if not sign.isascii() or not sign.isprintable() or sign.isalnum() or not sign:
            raise _UnknownError
        return sign

    def _letter(self, sign: str) -> str | frozenset[str]:
        lowered = sign.lower()
        if not sign.isascii() or (self._folded and lowered in FOLDED):
            return NOTHING
        return lowered

    def _group(self) -> frozenset[str]:
        self.at += 1
        if self.pattern.startswith("?", self.at):
            found = GROUP.match(self.pattern, self.at - 1)
            if found is None:
                raise _UnknownError
            self.at = found.end()
            if found["end"] == ")":
                return NOTHING
        needs = self.alternatives()
        if not self.pattern.startswith(")", self.at):
            raise _UnknownError
        self.at += 1
        return needs

    def _least(self) -> int:
        """How often the item before has to be there: True for exactly once."""
        least: int = True
        while found := REPEAT.match(self.pattern, self.at):
            self.at = found.end()
            count = 1 if found["least"] else int(found["count"] or 0)
            least = 2 if least and count else 0
        if self.pattern.startswith("{", self.at):
            raise _UnknownError
        return least


def _telling(run: str) -> frozenset[str]:
    return frozenset({run}) if len(run) >= SHORTEST else NOTHING
