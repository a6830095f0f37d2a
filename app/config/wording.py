"""What pydantic finds in the words of Northbound's errors: what was seen, what was expected."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.config.fields import SIZE, duration_text, size_text
from app.yaml_source import At

TEXT: Final = "expected text"
NUMBER: Final = "expected a whole number, such as 4"
LIST: Final = "expected a list, such as [a, b]"
MAPPING: Final = "expected a mapping, such as {{key: value}}"
SWITCH: Final = "expected true or false"

EXPECTED: Final[Mapping[str, str]] = {
    "string_type": TEXT,
    "path_type": "expected a path, such as rules/own",
    "int_type": NUMBER,
    "int_parsing": NUMBER,
    "int_from_float": NUMBER,
    "float_type": "expected a number, such as 0.5",
    "float_parsing": "expected a number, such as 0.5",
    "bool_type": SWITCH,
    "bool_parsing": SWITCH,
    "list_type": LIST,
    "dict_type": MAPPING,
    "model_type": MAPPING,
    "model_attributes_type": MAPPING,
    "union_tag_not_found": "missing type; see {page} for the types there are",
    "greater_than_equal": "expected {ge} or more",
    "greater_than": "expected more than {gt}",
    "less_than_equal": "expected {le} at most",
    "less_than": "expected less than {lt}",
    "literal_error": "expected one of {expected}",
    "union_tag_invalid": "saw type {tag!r}, expected one of {expected_tags}",
    "too_short": "expected more items",
    "too_long": "expected at most {max_length} items",
    "string_too_short": "expected some text",
}
"""By pydantic's type of an error, with what its context has."""
BOUNDS: Final = {"greater_than_equal", "greater_than", "less_than_equal", "less_than"}
SECRETS: Final = ("password", "token", "secret")
USER_IN_URL: Final = re.compile("://[^/]*@")


def expectation(type_: str, message: str, context: Mapping[str, Any], value: object) -> str:
    """What was expected of a value."""
    text = EXPECTED.get(type_)
    if text is None:
        own = message.removeprefix("Value error, ")
        return f"{own[:1].lower()}{own[1:]}"
    if type_ == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{text}; put it in quotes: '{value}'"
    if type_ == "union_tag_not_found":
        return text
    if type_ == "too_short":
        least = context["min_length"]
        empty = "" if context["actual_length"] else "empty; "
        return f"{empty}expected at least {least} item{'s' if least > 1 else ''}"
    if type_ == "literal_error" and " or " not in str(context["expected"]):
        return f"expected {context['expected']}"
    written: Callable[[int], object] = int
    if type_ in BOUNDS and isinstance(value, str):
        written = size_text if SIZE.fullmatch(value.strip()) else duration_text
    bounds = {key: written(int(each)) for key, each in context.items() if type_ in BOUNDS}
    return text.format_map({**context, **bounds})


def seen(at: At, type_: str, value: object) -> str:
    """`saw ..., `, or nothing where that says nothing or is a secret."""
    if any(word in str(part) for part in at for word in SECRETS) or USER_IN_URL.search(str(value)):
        return ""
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"saw a {kind}, " if type_.endswith("_type") else ""
    if value is None:
        return "saw nothing, "
    return f"saw {str(value).lower() if isinstance(value, bool) else repr(value)}, "
