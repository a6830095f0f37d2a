"""Why a rule matches an event, or does not: each part of its detection asked for on its own.

Parts are the engine's own answers: every named search, every item of one and every value of an item
is compiled as a rule that holds nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import yaml

from topology.match.compile import compile_rules
from topology.match.documents import Document
from topology.match.fieldmap import FieldMap, find_map, given
from topology.match.values import Placeholders, UnsupportedError
from topology.rules import LogSource

IT = "it"
ALL = "|all"
NEGATED = "|neq"
HOW = {
    (False, False): "one",
    (True, False): "all",
    (False, True): "none",
    (True, True): "not all",
}


@dataclass(slots=True)
class Part:
    """A part of a rule: what it says, whether it holds for the event, and what it consists of.

    `seen` are the values of its field in the event, by column; None where it is about no field.
    """

    text: str
    detection: Mapping[str, Any]
    seen: Mapping[str, Any] | None = None
    parts: list["Part"] = field(default_factory=list)
    holds: bool = False

    def all(self) -> Iterator["Part"]:
        """This part and those below it."""
        yield self
        for part in self.parts:
            yield from part.all()


def explain(
    document: Document,
    event: pl.DataFrame,
    field_maps: Sequence[FieldMap] = (),
    placeholders: Placeholders | None = None,
) -> Part:
    """The condition of a rule that compiles, with its named searches, for one event (one row).

    Raises RuleErrors for what does not compile.
    """
    content = document.content
    names = [name for name in content["detection"] if name != "condition"]
    condition = content["detection"]["condition"]
    conditions = condition if isinstance(condition, list) else [condition]
    whole = Part(" or ".join(map(str, conditions)), content["detection"])
    fields = find_map(field_maps, logsource_of(content))
    whole.parts = [
        _search(str(name), content["detection"][name], _Seen(event, fields)) for name in names
    ]
    parts = list(whole.all())
    rules = [
        (
            f"{document.path}:{number}",
            yaml.safe_dump(
                {
                    "title": content.get("title", "rule"),
                    "name": f"part {number}",
                    "logsource": content.get("logsource"),
                    "detection": dict(part.detection),
                },
                allow_unicode=True,
            ),
        )
        for number, part in enumerate(parts)
    ]
    hits = compile_rules(rules, field_maps, placeholders).match(event, None)
    for number, part in enumerate(parts):
        part.holds = number in hits
    return whole


def logsource_of(content: Mapping[str, Any]) -> LogSource:
    """The log source that a rule's YAML names."""
    given_keys = content.get("logsource", {})
    return LogSource(*(given_keys.get(key) for key in ("product", "service", "category")))


class _Seen:
    """What an event has in the columns of a field."""

    def __init__(self, event: pl.DataFrame, fields: FieldMap | None) -> None:
        self._row = event.row(0, named=True)
        self._columns = fields.columns if fields else given

    def __call__(self, name: str) -> dict[str, Any]:
        try:
            columns = self._columns(name)
        except UnsupportedError:
            columns = (name,)
        return {column: self._row.get(column) for column in columns}


def _search(name: str, definition: Any, seen: _Seen) -> Part:
    part = Part(name, _only(definition))
    part.parts = _items(definition, seen)
    return part


def _items(definition: Any, seen: _Seen) -> list[Part]:
    """The items of a mapping, the alternatives of a list, or the values of keywords."""
    if isinstance(definition, dict):
        return [_item(str(key), value, seen) for key, value in definition.items()]
    if not isinstance(definition, list):
        return []
    found = []
    for number, entry in enumerate(definition, start=1):
        if isinstance(entry, dict):
            found.append(Part(f"alternative {number}", _only(entry), None, _items(entry, seen)))
        elif len(definition) > 1:
            found.append(Part(f"keyword {entry!r}", _only([entry])))
    return found


def _item(key: str, value: Any, seen: _Seen) -> Part:
    name = key.partition("|")[0]
    part = Part(f"{key}: {_said(value)}", _only({key: value}), seen(name) if name else None)
    if isinstance(value, list) and len(value) > 1:
        alone = key.replace(ALL, "")
        part.text = f"{key}: {HOW[ALL in key, NEGATED in key]} of {len(value)} values"
        part.parts = [Part(_said(each), _only({alone: each})) for each in value]
    return part


def _only(definition: Any) -> dict[str, Any]:
    return {IT: definition, "condition": IT}


def _said(value: Any) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)
