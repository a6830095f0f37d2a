"""The JSON body of a Qumulo audit message, one at a time: the exact path.

It says what a body means; qumulo_json_columns.py gives the same for many bodies at once and leaves
those that are not as usual to this one.
"""

import json
import re
from typing import Any, Final

import orjson
import polars as pl

from topology.parse import nesting
from topology.parse.parsed import MalformedError, Schema

SCHEMA: Final[Schema] = {
    "sid": pl.String,
    "auth_id": pl.String,
    "offset": pl.Int64,
    "size": pl.Int64,
    "file_size": pl.Int64,
    "before:json": pl.String,
    "after:json": pl.String,
    "warning": pl.String,
}
NOTHING: Final = (None,) * len(SCHEMA)

UNESCAPED_WARNING: Final = "backslashes were not escaped"
BACKSLASH = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
# orjson reads whole numbers beyond 64 bits as floats.
LONG_NUMBER = re.compile(r"[:\[,]\s*-?[0-9]{19}")
MISREAD = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
INT64 = 2**63


def parse_body(text: str) -> tuple[Any, ...]:
    """The eight values of a CSV body and those of SCHEMA. Raises MalformedError."""
    record, warning = _load(text)
    user = record.get("user_id")
    details = record.get("details")
    operation = record.get("operation")
    if not isinstance(operation, str):
        raise MalformedError("JSON without a Qumulo `operation`")
    if not isinstance(details, dict):
        details = {}
    if not isinstance(user, dict):
        user = {"name": user}
    name, sid, auth_id, warning = _user(user, warning)
    return (
        _text(record.get("user_ip")),
        name,
        _text(record.get("protocol")),
        operation or None,
        _text(record.get("status")),
        _text(details.get("file_id")),
        _text(details.get("path")) or _text(details.get("extra_name")),
        _text(details.get("target")) or _text(details.get("second_extra_name")),
        sid,
        auth_id,
        _number(details.get("offset")),
        _number(details.get("size")),
        _number(details.get("file_size")),
        _opaque(details.get("before")),
        _opaque(details.get("after")),
        warning,
    )


def parse_user(text: str) -> tuple[str | None, str | None, str | None, str | None]:
    """`user`, `sid`, `auth_id` and `warning` of the object `user_id`. Raises MalformedError."""
    return _user(*_load(text))


def rewrite(text: str) -> str | None:
    """The value of `before` or `after` as its column has it, None when it is not JSON, or too deep
    for the body around it."""
    if is_deep(text):
        return None
    try:
        return _opaque(_loads(text))
    except ValueError:
        return None


def is_deep(text: str) -> bool:
    """Whether `before` or `after`, in `details` of the record, has too many levels."""
    return nesting.is_deep(text, around=2)


def _user(
    user: dict[str, Any], warning: str | None
) -> tuple[str | None, str | None, str | None, str | None]:
    name = _text(user.get("name"))
    if name is not None and any(ord(character) < 32 for character in name):
        # `AD\bob` is valid JSON for a backspace; no user has control characters in its name.
        name, warning = name.translate(MISREAD), UNESCAPED_WARNING
    sid, auth_id = _text(user.get("sid")), _text(user.get("auth_id"))
    return name or sid or auth_id, sid, auth_id, warning


def _load(text: str) -> tuple[dict[str, Any], str | None]:
    """The record, and a warning when its backslashes had to be repaired first."""
    warning = None
    try:
        record = _loads(text)
    except MalformedError:
        raise
    except ValueError:
        # The documentation's own sample has `"name": "AD\alice"`, which is not JSON.
        warning = UNESCAPED_WARNING
        repaired = BACKSLASH.sub(lambda found: found[0] if found[1] else r"\\", text)
        try:
            record = _loads(repaired)
        except MalformedError:
            raise
        except ValueError as error:
            raise MalformedError(nesting.not_json(error)) from None
    if not isinstance(record, dict):
        raise MalformedError("JSON that is no object")
    return record, warning


def _loads(text: str) -> Any:
    value = orjson.loads(text)
    if nesting.is_deep(text):
        raise MalformedError(nesting.TOO_DEEP)
    return json.loads(text) if LONG_NUMBER.search(text) else value


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _number(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -INT64 <= number < INT64 else None


def _opaque(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
