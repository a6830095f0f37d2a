"""Correlations as the specification lets them be written, in the form that pySigma reads."""

import re
from typing import Any, Final

from topology.match.ranges import with_one

OPERATORS: Final = re.compile(r"\b(?:AND|OR|NOT)\b")


def for_pysigma(content: dict[str, Any]) -> dict[str, Any]:
    """The rule with `generate` where pySigma looks for it (the specification's schema has it beside
    `correlation`), the operators of an extended condition in small letters, and of several
    comparisons the first."""
    given = content.get("correlation")
    if not isinstance(given, dict):
        return content
    correlation = dict(given)
    if "generate" in content:
        correlation.setdefault("generate", content["generate"])
    condition = correlation.get("condition")
    if isinstance(condition, str):
        correlation["condition"] = small(condition)
    return with_one({**content, "correlation": correlation})


def small(condition: str) -> str:
    """An extended condition with its operators in small letters."""
    return OPERATORS.sub(lambda found: found[0].lower(), condition)
