"""Extended conditions of temporal correlations, `a and (b or not c)`, as their alternatives.

pySigma reads such a condition as a tree; each alternative says which rules have to match and which
must not, and one of them has to hold.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionItem,
    CorrelationConditionNOT,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)

from topology.match.specification import small
from topology.rules import Alternative

MOST: Final = 64
"""Alternatives that a condition may have: each is looked at for every match."""
Tree: TypeAlias = CorrelationConditionItem | SigmaRuleReference
Literals: TypeAlias = frozenset[tuple[str, bool]]
"""Names of rules, and whether they have to match or must not."""


class FormulaError(ValueError):
    """A condition that cannot be evaluated."""


def alternatives(
    tree: Tree, listed: Sequence[str], steps: Sequence[str]
) -> tuple[Alternative, ...]:
    """The alternatives of a condition over the names `listed`, of rules whose ids are `steps`; each
    in that order. Raises FormulaError."""
    rules = set(listed)
    found = [
        each
        for each in _alternatives(tree, wanted=True)
        if {name for name, wanted in each if not wanted} != rules
    ]
    if not found:
        raise FormulaError("can never come true: something has to match for a window to open")
    pairs = list(zip(listed, steps, strict=True))
    return tuple(
        Alternative(
            tuple(step for name, step in pairs if (name, True) in each),
            tuple(dict.fromkeys(step for name, step in pairs if (name, False) in each)),
        )
        for each in found
    )


def referenced(expression: str) -> list[str]:
    """Names of the rules in a condition, each once."""
    found: list[str] = SigmaExtendedCorrelationCondition(small(expression)).get_referenced_rules()
    return found


def _alternatives(tree: Tree, *, wanted: bool) -> list[Literals]:
    """Those under which a tree is true, or false where that is wanted, each without what another
    asks less for."""
    if isinstance(tree, SigmaRuleReference):
        return [frozenset({(tree.reference, wanted)})]
    if isinstance(tree, CorrelationConditionNOT):
        return _alternatives(tree.args[0], wanted=not wanted)
    parts = [_alternatives(arg, wanted=wanted) for arg in tree.args]
    if isinstance(tree, CorrelationConditionAND) is not wanted:
        return _least([each for part in parts for each in part])
    found: list[Literals] = [frozenset()]
    for part in parts:
        found = _least([one | other for one in found for other in part])
    return found


def _least(found: list[Literals]) -> list[Literals]:
    possible = dict.fromkeys(
        each for each in found if not any((name, not wanted) in each for name, wanted in each)
    )
    least = [each for each in possible if not any(other < each for other in possible)]
    if len(least) > MOST:
        raise FormulaError(f"has more than {MOST} alternatives; write several rules")
    return least
