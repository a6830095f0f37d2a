"""Templates of attributes, such as `{device.hostname}/{file.path}`, as texts and fields in order.

Without Polars: they are checked with northbound.yaml, also by what touches no event.
"""

import re
from typing import Final, NamedTuple

PIECE: Final = re.compile(r"([^{}]+)|(\{\{|\}\})|\{([^{}]+)\}")


class TemplateError(ValueError):
    """What is wrong with a template, and what was expected."""


class Copy(NamedTuple):
    """The value of another attribute."""

    field: str


class Text(NamedTuple):
    """A text of a template that stands as it is."""

    text: str


def template(text: str) -> list[Copy | Text]:
    """A template that names an attribute, as `pieces`. Raises TemplateError."""
    found = pieces(text)
    if not any(isinstance(piece, Copy) for piece in found):
        raise TemplateError(f"saw {text!r}, expected at least one attribute in braces")
    return found


def pieces(text: str) -> list[Copy | Text]:
    """`{device.hostname}/{file.path}` as pieces; `{{` and `}}` are braces.

    Raises TemplateError.
    """
    found: list[Copy | Text] = []
    at = 0
    while at < len(text):
        match = PIECE.match(text, at)
        if match is None:
            raise TemplateError(
                f"saw {text!r}, expected every brace in a pair around an attribute, or doubled"
            )
        plain, brace, field = match.groups()
        if field is not None:
            found.append(Copy(field.strip()))
        else:
            found.append(Text(plain or brace[0]))
        at = match.end()
    return found
