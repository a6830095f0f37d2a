"""Sigma filters take their matches away from the rules that they name."""

from collections.abc import Mapping, Sequence
from typing import Any

from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from topology.match.documents import Problem
from topology.match.reading import message
from topology.match.references import Parsed


def filtered(
    parsed: Sequence[Parsed],
    owners: Mapping[str, str],
    problems: list[Problem],
    warnings: list[Problem],
) -> list[Parsed]:
    """Rules after the filters among them were applied: those of a tenant (`owners`: by path) to its
    own. What is wrong with a filter goes to `problems`; that it filters nothing to `warnings`."""
    filters = [item for item in parsed if isinstance(item.rule, SigmaFilter)]
    rules = [item for item in parsed if not isinstance(item.rule, SigmaFilter)]
    sound = [entry for entry in filters if _is_sound(entry, problems)]
    if not sound:
        return rules
    met: dict[int, set[str]] = {number: set() for number in range(len(sound))}
    out = []
    for item in rules:
        rule, applied = item.rule, []
        for number, entry in enumerate(sound):
            owner = owners.get(entry.document.path)
            if owner is None or owner == owners.get(item.document.path):
                before = list(rule.detection.condition) if isinstance(rule, SigmaRule) else []
                rule = _applied(entry.rule, rule)
                if before and rule.detection.condition != before:
                    applied.append(entry.document)
                    met[number] |= {str(rule.id), rule.name or "", rule.title}
        out.append(Parsed(item.document, rule, (*item.filters, *applied)))
    if not problems:  # else what a filter names may be what is not loaded
        for number, entry in enumerate(sound):
            warnings += _idle(entry, met[number])
    return out


def _applied(entry: SigmaFilter, rule: Any) -> Any:
    if isinstance(rule, SigmaRule):
        # pySigma writes into the list that the rule's YAML is.
        rule.detection.condition = list(rule.detection.condition)
    return entry.apply_on_rule(rule)


def _is_sound(entry: Parsed, problems: list[Problem]) -> bool:
    """Whether the condition can be read, before it is part of those of rules."""
    for condition in entry.rule.filter.parsed_condition:
        try:
            found = condition.parsed
            text = "the condition is empty" if found is None else None
        except SigmaError as error:
            text = message(error)
        except Exception as error:
            text = f"cannot be parsed: {type(error).__name__}: {error}"
        if text is not None:
            problems.append(entry.document.problem(text, "filter", "condition"))
            return False
    return True


def _idle(entry: Parsed, met: set[str]) -> list[Problem]:
    """What a filter names in vain; `met`: what the rules are called that it is part of."""
    named = entry.rule.filter.rules
    if isinstance(named, str):
        if met:
            return []
        text = "saw any, but no rule is loaded for this log source: nothing is filtered"
        return [entry.document.problem(text, "filter", "rules")]
    return [
        entry.document.problem(
            f"{each.reference!r} is neither id nor name of a rule on events that is loaded for "
            "this log source: it is not filtered",
            "filter",
            "rules",
        )
        for each in named
        if not {each.reference, each.reference.lower()} & met
    ]
