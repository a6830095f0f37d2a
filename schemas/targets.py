"""Attributes that normalizers, mutations and enrichments write: what can be, and of what type."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from schemas import ocsf
from schemas.event import ATTRIBUTES

Kind: TypeAlias = Literal["long", "string", "list"]

_STEP: Final = r"[^.\[\]]+(?:\[[^\[\]]*\])?"
NAME: Final = re.compile(rf"(?!@){_STEP}(?:\.{_STEP})*")
FIXED: Final = frozenset({"row", "sub", "raw_data", "metadata.uid", "unmapped.raw_base64"})
"""What says which event it is and what it was made from."""
ENRICHMENTS: Final = "enrichments"
UNMAPPED: Final = "unmapped"
HELD: Final = frozenset(
    {"after", "before", "columns", "data", "ext", "fields", "record", "sd", "value"}
)
"""Members of `unmapped` that hold all fields of a line, as JSON."""


def _kinds() -> Iterator[tuple[str, Kind]]:
    for each in ATTRIBUTES:
        path, _, kind = each.partition(":")
        yield path, "long" if kind == "long" else "string"
    yield "metadata.profiles", "list"
    yield "unmapped.facility", "long"


KINDS: Final[Mapping[str, Kind]] = dict(_kinds())
"""The types of attributes that are known: of the event model, and of what sources give."""
OBJECTS: Final[Mapping[str, str]] = {
    path[: found.start()]: path
    for path in reversed(list(KINDS))
    for found in re.finditer(r"\.", path)
}
"""Objects, each with an attribute of it."""


def unwritable(name: str) -> str | None:
    """Why an attribute cannot be written, and what was expected; None for one that can."""
    if name in FIXED or name.startswith("@"):
        return "which cannot be changed; expected another attribute"
    if NAME.fullmatch(name) is None or name.endswith(ocsf.JSON_SUFFIX):
        return "which is no attribute; expected one such as src_endpoint.ip"
    if name in OBJECTS and name != UNMAPPED:
        return f"which is an object; expected an attribute of it, such as {OBJECTS[name]}"
    steps = name.split(".")
    above = (".".join(steps[:count]) for count in range(1, len(steps)))
    if value := next((each for each in above if each in KINDS), None):
        return f"but {value} is a value and has no attributes; expected another attribute"
    if name == UNMAPPED or (steps[0] == UNMAPPED and steps[1] in HELD):
        return "where the fields of the line are kept; expected another name below unmapped"
    if re.match(rf"{ENRICHMENTS}(?:$|[.\[])", name):
        return "which enrich in northbound.yaml writes; expected another attribute"
    return None
