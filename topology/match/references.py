"""Correlations that refer to correlations: in which order they are compiled, and how deep."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from topology.match.documents import Document, Problem

DEEPEST: Final = 4
"""Correlations that may stand one on the other: each waits for those below it."""


class Parsed(NamedTuple):
    """A rule as pySigma read it, the document it came from, and those of filters that it has."""

    document: Document
    rule: Any
    filters: tuple[Document, ...] = ()


def in_order(correlations: Sequence[Parsed], problems: list[Problem]) -> list[Parsed]:
    """Those that others refer to first; what goes in a circle or too deep goes to `problems`."""
    names: dict[str, int] = {}
    for number, item in enumerate(correlations):
        for name in (item.rule.name, item.rule.id):
            if name is not None:
                names[str(name)] = number
    below = [
        [names[str(e.reference)] for e in item.rule.rules or () if str(e.reference) in names]
        for item in correlations
    ]
    depths: dict[int, int] = {}
    order: list[int] = []

    def visit(number: int, path: tuple[int, ...]) -> int:
        if number in path:
            circle = " → ".join(str(correlations[n].rule.title) for n in (*path, number))
            text = f"counts its own alerts: {circle}"
            problems.append(correlations[number].document.problem(text, "correlation", "rules"))
            return 0
        if number not in depths:
            depths[number] = 1 + max((visit(n, (*path, number)) for n in below[number]), default=0)
            order.append(number)
            if depths[number] == DEEPEST + 1:
                text = f"stands on {DEEPEST} correlations one on the other, expected fewer"
                problems.append(correlations[number].document.problem(text, "correlation", "rules"))
        return depths[number]

    for number in range(len(correlations)):
        visit(number, ())
    return [correlations[number] for number in order]
