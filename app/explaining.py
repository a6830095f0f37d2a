"""Rules explained against one event, as lines for people and as objects."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from app.config import Config
from app.deployed_rules import deployed
from app.rules import examined
from topology.match.bases import said_names
from topology.match.documents import Document, RuleErrors
from topology.match.explain import Part, explain, logsource_of
from topology.match.fieldmap import FieldMap, find_map, given
from topology.match.formulas import referenced

SECTIONS = frozenset({"correlation", "filter"})
"""With one of these a document is no rule on events, whatever else it says."""
YES, NO = "✓", "✗"


def explain_rules(
    paths: Sequence[Path],
    event: pl.DataFrame,
    maps: Sequence[Path] | None = None,
    deployment: Config | None = None,
) -> list[dict[str, Any]]:
    """Each rule under the paths with its parts, and each correlation with what it counts and by
    what; behind them the rules of `deployment` that correlations refer to. Its lists are known.

    Raises RuleErrors when the rules do not load, as `rules check` does.
    """
    beside = partial(deployed, deployment, paths, maps=maps is None) if deployment else None
    lists = deployment.active_lists if deployment else {}
    found = examined(paths, lists, more_lists=True, maps=maps, elsewhere=beside)
    if found.problems:
        raise RuleErrors(found.problems)
    documents = [*found.documents, *found.bases]
    parts = {
        number: explain(document, event, found.field_maps, found.placeholders)
        for number, document in enumerate(documents)
        if "detection" in document.content and SECTIONS.isdisjoint(document.content)
    }
    counted = _Counted(documents, parts, found.field_maps, event)
    explained = []
    for number, document in enumerate(documents):
        about = {
            "title": document.content.get("title"),
            "path": f"{document.path}:{document.line}",
            "base": number >= len(found.documents),
        }
        if number in parts:
            part = parts[number]
            explained.append({**about, "matches": part.holds, "condition": as_object(part)})
        elif "correlation" in document.content:
            explained.append({**about, **counted.by(number)})
    return explained


class _Counted:
    """What correlations count of one event, their own rules and those behind other correlations."""

    def __init__(
        self,
        documents: Sequence[Document],
        parts: Mapping[int, Part],
        field_maps: Sequence[FieldMap],
        event: pl.DataFrame,
    ) -> None:
        self._contents = [document.content for document in documents]
        self._parts = parts
        self._maps = field_maps
        self._row = event.row(0, named=True)
        self._numbers: dict[str, int] = {}
        for number, document in enumerate(documents):
            if "filter" not in document.content:
                self._numbers |= dict.fromkeys(said_names(document), number)

    def by(self, number: int) -> dict[str, Any]:
        """The rules of a correlation, whether the event is a match of each, and its group."""
        rules = self._rules(number)
        fields = _names(self._contents[number]["correlation"].get("group-by"))
        return {
            "counts": self._counts(number),
            "rules": {name: self._counts(at) for name, at in rules.items()},
            "group": {field: self._value(number, field) for field in fields},
        }

    def _rules(self, number: int) -> dict[str, int]:
        """What a correlation calls its rules, and which ones they are."""
        correlation = self._contents[number]["correlation"]
        names = _names(correlation.get("rules")) or referenced(correlation["condition"])
        return {name: self._number(name) for name in names}

    def _number(self, name: str) -> int:
        return self._numbers[name if name in self._numbers else name.lower()]

    def _counts(self, number: int) -> bool:
        """Whether a rule matches the event, or a correlation counts it."""
        if number in self._parts:
            return self._parts[number].holds
        return any(map(self._counts, self._rules(number).values()))

    def _value(self, number: int, field: str) -> Any:
        """What the event has in a field of a rule, or of the rule that a correlation counts it by:
        its first one where it counts none."""
        content = self._contents[number]
        if number in self._parts:
            fields = find_map(self._maps, logsource_of(content))
            columns = fields.columns(field) if fields else given(field)
            values = (self._row.get(name) for name in columns)
            return next((value for value in values if value is not None), None)
        rules = self._rules(number)
        at = next(filter(self._counts, rules.values()), next(iter(rules.values())))
        aliases = (content["correlation"].get("aliases") or {}).get(field, {})
        called = {self._number(name): to for name, to in aliases.items()}
        return self._value(at, called.get(at, field))


def _names(said: Any) -> list[str]:
    """What is said as a list, or as one name."""
    listed = said if isinstance(said, list) else [] if said is None else [said]
    return [str(name) for name in listed]


def as_object(part: Part) -> dict[str, Any]:
    """A part and those below it."""
    found: dict[str, Any] = {"text": part.text, "matches": part.holds}
    if part.seen is not None:
        found["seen"] = dict(part.seen)
    if part.parts:
        found["parts"] = [as_object(each) for each in part.parts]
    return found


def as_lines(entry: dict[str, Any]) -> Iterator[str]:
    """One rule for people: a line for each part, indented by its depth."""
    where = f"    [{entry['path']}]" if entry["base"] else ""
    if "condition" in entry:
        yield f"{_mark(entry['matches'])} {entry['title']}{where}"
        yield from _lines(entry["condition"], 1, "condition: ")
        return
    yield f"{_mark(entry['counts'])} {entry['title']} (correlation){where}"
    for name, matches in entry["rules"].items():
        yield f"  {_mark(matches)} rule {name}"
    for name, value in entry["group"].items():
        said = "absent: the event is not counted" if value is None else repr(value)
        yield f"    group-by {name}: {said}"


def _lines(part: dict[str, Any], depth: int, before: str = "") -> Iterator[str]:
    seen = ""
    if part.get("seen"):
        values = [
            f"{name} = {'absent' if value is None else repr(value)}"
            for name, value in part["seen"].items()
        ]
        seen = f"    [{', '.join(values)}]"
    yield f"{'  ' * depth}{_mark(part['matches'])} {before}{part['text']}{seen}"
    for each in part.get("parts", ()):
        yield from _lines(each, depth + 1)


def _mark(matches: bool) -> str:
    return YES if matches else NO
