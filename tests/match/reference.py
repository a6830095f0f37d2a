"""The slow and obvious evaluation of Sigma rules: one event (a flat dict) at a time.

It shares pySigma's parsing with the product and nothing else.
"""

import ipaddress
import math
import re
from datetime import UTC, datetime
from functools import cache

import re2
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionNOT, ConditionOR
from sigma.conditions import ConditionFieldEqualsValueExpression as FieldEquals
from sigma.conditions import ConditionValueExpression as Keyword
from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)


def rules_of(text):
    """Rules of a YAML text as pySigma reads them, each as the trees of its conditions."""
    return [
        [condition.parsed for condition in rule.detection.parsed_condition]
        for rule in SigmaCollection.from_yaml(text).rules
    ]


def matches(rule, event):
    """Whether the rule matches the event."""
    return any(holds(tree, event) for tree in rule)


def holds(node, event):
    if isinstance(node, ConditionAND):
        return all(holds(arg, event) for arg in node.args)
    if isinstance(node, ConditionOR):
        return any(holds(arg, event) for arg in node.args)
    if isinstance(node, ConditionNOT):
        return not holds(node.args[0], event)
    if isinstance(node, FieldEquals):
        return field_holds(node.value, event.get(node.field), event)
    assert isinstance(node, Keyword)
    return keyword_holds(node.value, event)


def text_of(value):
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def field_holds(wanted, value, event):
    if isinstance(wanted, SigmaExpansion):
        return any(field_holds(item, value, event) for item in wanted.values)
    if isinstance(wanted, SigmaNull):
        return value is None
    if isinstance(wanted, SigmaExists):
        return (value is not None) == wanted.exists
    if isinstance(value, list):
        return any(field_holds(wanted, item, event) for item in value if item is not None)
    if value is None:
        return False
    text = text_of(value)
    if isinstance(wanted, SigmaString):
        return string_regex(wanted).fullmatch(fold(wanted, text)) is not None
    if isinstance(wanted, SigmaTimestampPart):  # a SigmaNumber, too
        return part_of(wanted, text) == wanted.number
    if isinstance(wanted, SigmaNumber):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value == wanted.number
        return text.lower() in (str(wanted.number), f"{wanted.number}.0")
    if isinstance(wanted, SigmaBool):
        return text.lower() == str(wanted.boolean).lower()
    if isinstance(wanted, SigmaRegularExpression):
        return regex(wanted).search(text) is not None
    if isinstance(wanted, SigmaCIDRExpression):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return (getattr(address, "ipv4_mapped", None) or address) in wanted.network
    if isinstance(wanted, SigmaCompareExpression):
        return compare(wanted, value)
    if isinstance(wanted, SigmaFieldReference):
        other = event.get(wanted.field)
        others = other if isinstance(other, list) else [other]
        return any(
            each is not None and reference(wanted, folded(text), folded(text_of(each)))
            for each in others
        )
    raise AssertionError(f"a value of {type(wanted)}")


def part_of(wanted, text):
    """The part of a time that a text is; None if it is none."""
    try:
        number = float(text)
        at = datetime.fromtimestamp(number / 1000 if abs(number) > 1e11 else number, UTC)
    except (ValueError, OverflowError, OSError):
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError:
            return None
        at = at if at.tzinfo is None else at.astimezone(UTC)
    part = wanted.timestamp_part.name.lower()
    return at.isocalendar().week if part == "week" else getattr(at, part)


def fold(wanted, text):
    cased = isinstance(wanted, SigmaCasedString) or not isinstance(text, str)
    return text if cased else folded(text)


def folded(text):
    """Each letter as its small one, wherever it stands: the Greek sigma has another at the end of a
    word."""
    return "".join(letter.lower() for letter in text).replace("\u03c2", "\u03c3")


def string_regex(wanted):
    return parts_regex(tuple(fold(wanted, part) for part in wanted.s))


@cache
def parts_regex(parts):
    signs = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
    texts = (re.escape(part) if isinstance(part, str) else signs[part] for part in parts)
    return re.compile("".join(texts), re.DOTALL)


def regex(wanted):
    flags = "".join(wanted.sigma_to_re_flag[flag] for flag in wanted.flags)
    return re2.compile((f"(?{flags})" if flags else "") + str(wanted.regexp))


def compare(wanted, value):
    if isinstance(value, bool):
        return False
    if isinstance(wanted.number, SigmaTimestampPart):
        number = part_of(wanted.number, text_of(value))
        if number is None:
            return False
    else:
        try:
            number = float(value)
        except ValueError:
            return False
        if not math.isfinite(number):
            return False
    bound = wanted.number.number
    return {
        "LT": number < bound,
        "LTE": number <= bound,
        "GT": number > bound,
        "GTE": number >= bound,
    }[wanted.op.name]


def reference(wanted, text, other):
    if wanted.starts_with and wanted.ends_with:
        return other in text
    if wanted.starts_with:
        return text.startswith(other)
    return text.endswith(other) if wanted.ends_with else text == other


def keyword_holds(wanted, event):
    if isinstance(wanted, SigmaExpansion):
        return any(keyword_holds(item, event) for item in wanted.values)
    given = [each if isinstance(each, list) else [each] for each in event.values()]
    texts = [text_of(value) for values in given for value in values if value is not None]
    if isinstance(wanted, SigmaRegularExpression):
        return any(regex(wanted).search(text) for text in texts)
    if isinstance(wanted, SigmaNumber):
        return any(str(wanted.number) in text.lower() for text in texts)
    return any(string_regex(wanted).search(fold(wanted, text)) for text in texts)
