"""How deep JSON may be: what is deeper is refused as a whole.

Readers of events give up at some depth (Jackson at 1,000, orjson at 1,024 and, when it writes, at
254); Python's own gives up at one that depends on its caller's, so that two workers could make
different things of one record.
"""

import re
from typing import Final

DEEPEST: Final = 128
"""Levels of arrays and objects in each other."""
TOO_DEEP: Final = f"JSON of over {DEEPEST} levels"
BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def not_json(error: ValueError, too_deep: str = TOO_DEEP) -> str:
    """Why a text is refused that orjson did not read. It has a limit of its own."""
    return too_deep if str(error).startswith("depth limit") else f"not JSON: {error}"


def is_deep(text: str, start: int = 0, end: int | None = None, around: int = 0) -> bool:
    """Whether a JSON text from `start` to `end`, within `around` levels more, has too many."""
    deepest = DEEPEST - around
    last = len(text) if end is None else end
    if last - start <= deepest:
        return False
    if text.count("{", start, last) + text.count("[", start, last) <= deepest:
        return False
    depth = 0
    for found in BRACKETS.finditer(text, start, last):
        mark = found[0]
        if mark in "[{":
            depth += 1
            if depth > deepest:
                return True
        elif mark in "]}":
            depth -= 1
    return False
