"""Ranges in a correlation's condition: pySigma takes one comparison, the specification several.

Sigma correlation rules specification 2.1.0, section "Field: condition": `gt: 100` with `lte: 200`.
"""

from collections.abc import Mapping
from typing import Any, get_args

from topology.match.documents import Document, Problem
from topology.rules import Bound, Operator

OPERATORS: tuple[Operator, ...] = get_args(Operator)
LOWER, UPPER = ("gte", "gt"), ("lte", "lt")


def with_one(content: dict[str, Any]) -> dict[str, Any]:
    """The rule with the first of its comparisons alone, as pySigma takes it."""
    condition = _condition(content)
    compared = [key for key in condition if key in OPERATORS]
    if len(compared) < 2:  # one comparison is what pySigma expects
        return content
    kept = {key: value for key, value in condition.items() if key not in compared[1:]}
    return {**content, "correlation": {**content["correlation"], "condition": kept}}


def others(document: Document, problems: list[Problem]) -> tuple[Bound, ...]:
    """The comparisons that `with_one` left out; what is wrong with them goes to `problems`."""
    condition = _condition(document.content)
    bounds = {key: value for key, value in condition.items() if key in OPERATORS}
    sound = True
    for key in list(bounds)[1:]:
        if isinstance(bounds[key], bool) or not isinstance(bounds[key], int | float):
            text = f"saw {bounds[key]!r}, expected a number"
            problems.append(document.problem(text, "correlation", "condition", key))
            sound = False
    if not sound:
        return ()
    for low in (key for key in LOWER if key in bounds):
        for high in (key for key in UPPER if key in bounds):
            open_end = low == "gt" or high == "lt"
            if bounds[low] > bounds[high] or (open_end and bounds[low] == bounds[high]):
                text = f"no number is {low} {bounds[low]} and {high} {bounds[high]}"
                problems.append(document.problem(text, "correlation", "condition", high))
    return tuple((key, bounds[key]) for key in OPERATORS if key in list(bounds)[1:])


def _condition(content: Mapping[str, Any]) -> Mapping[Any, Any]:
    correlation = content.get("correlation")
    condition = correlation.get("condition") if isinstance(correlation, dict) else None
    return condition if isinstance(condition, dict) else {}
