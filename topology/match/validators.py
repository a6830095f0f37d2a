"""What pySigma's validators say of rules: what is unusual in them, or can hardly be meant."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, Final

from sigma.filters import SigmaFilter
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetectionItem
from sigma.types import SigmaString
from sigma.validation import SigmaValidator
from sigma.validators.base import SigmaValidationIssue
from sigma.validators.core import validators
from sigma.validators.core.metadata import IdentifierUniquenessValidator
from sigma.validators.core.tags import (
    ATTACKTagValidator,
    D3FENDTagValidator,
    TLPv1TagValidator,
    TLPv2TagValidator,
)

from topology.match.documents import Document, Problem
from topology.match.reading import CONDITION, searches
from topology.match.references import Parsed

LEFT_OUT: Final = frozenset(
    {
        ATTACKTagValidator,  # these two download lists of MITRE's while they look
        D3FENDTagValidator,
        TLPv1TagValidator,  # each refuses what the other asks for; TLPTagValidator knows both
        TLPv2TagValidator,
        IdentifierUniquenessValidator,  # rules with the same id do not load
    }
)
DETECTION: Final = "detection"
PLACES: Final = {
    "condition_name": CONDITION,
    "logsource": ("logsource",),
    "reference": ("references",),
    "tag": ("tags",),
    "title": ("title",),
}
"""Where what an issue is about stands, by the name that pySigma has for it."""


def notes(parsed: Sequence[Parsed]) -> Iterator[Problem]:
    """What there is to say of rules, each at its key, with pySigma's severity before it."""
    rules = [item for item in parsed if not isinstance(item.rule, SigmaFilter)]
    documents = {id(item.rule): item.document for item in rules}
    validator = SigmaValidator(set(validators.values()) - LEFT_OUT)
    issues: list[SigmaValidationIssue] = []
    for item in rules:
        try:
            issues += validator.validate_rule(item.rule)
        except Exception:  # noqa: S112  # of what it cannot read, loading says what is wrong
            continue
    for issue in [*issues, *validator.finalize()]:
        for rule in issue.rules:
            yield _note(documents[id(rule)], issue)


def _note(document: Document, issue: SigmaValidationIssue) -> Problem:
    about = next((field.name for field in fields(issue) if field.name != "rules"), None)
    value = None if about is None else getattr(issue, about)
    keys, said = _place(document, about, value)
    if about is None and "Condition" in type(issue).__name__:
        keys = CONDITION
    text = f"{issue.severity.name.lower()}: {issue.description.rstrip('.')}"
    return document.problem(f"{text}: {said}" if said else text, *keys)


def _place(document: Document, about: str | None, value: Any) -> tuple[tuple[str, ...], str]:
    """The key that an issue is about, and what it says of it."""
    if about == "detection_name":
        return (DETECTION, str(value)), str(value)
    if about == "detection_item":
        keys = _item_keys(document, value)
        return keys, keys[-1] if len(keys) > 1 else ""
    if about == "string":
        return _text_keys(document, value), repr(str(value))
    if about == "fieldname":
        return ((value,) if value in document.content else ("logsource", value)), str(value)
    return PLACES.get(about or "", ()), "" if value is None else str(value)


def _items(document: Document) -> Iterator[tuple[tuple[str, ...], str, list[Any]]]:
    """Keys, the last of them, and values of all items of a detection; no key for keywords."""
    for name, entry in searches(document, DETECTION):
        pairs = entry.items() if isinstance(entry, dict) else [("", entry)]
        for key, value in pairs:
            keys = (DETECTION, name, str(key)) if key else (DETECTION, name)
            yield keys, str(key), value if isinstance(value, list) else [value]


def _item_keys(document: Document, item: SigmaDetectionItem) -> tuple[str, ...]:
    said = [_given(value) for value in item.original_value or ()]
    alike: list[tuple[str, ...]] = []
    for keys, key, values in _items(document):
        field, *names = key.split("|")
        if (field or None) == item.field and [
            modifier_mapping.get(name) for name in names
        ] == item.modifiers:
            if [str(value) for value in values] == said:
                return keys
            alike.append(keys)
    return alike[0] if alike else (DETECTION,)


def _given(value: Any) -> str:
    return str(value.original) if isinstance(value, SigmaString) else str(value)


def _text_keys(document: Document, text: SigmaString) -> tuple[str, ...]:
    """Keys of a text, which modifiers may have put wildcards around."""
    for keys, _, values in _items(document):
        if any(_plain(SigmaString(v)) == _plain(text) for v in values if isinstance(v, str)):
            return keys
    return (DETECTION,)


def _plain(text: SigmaString) -> str:
    return "".join(part for part in text.s if isinstance(part, str))
