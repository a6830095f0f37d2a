"""Rules of a file explained against one event, as lines for people and as objects."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from app.rules import FIELD_MAP, load_rules, placeholders_beside
from topology.lists import ActiveList
from topology.match.documents import Problem, RuleErrors, read_documents
from topology.match.explain import Part, explain, logsource_of
from topology.match.fieldmap import FieldMap, find_map, given, read_field_map
from topology.match.formulas import referenced

YES, NO = "✓", "✗"


def explain_file(
    path: Path,
    event: pl.DataFrame,
    maps: Sequence[Path] | None = None,
    lists: Mapping[str, ActiveList] | None = None,
) -> list[dict[str, Any]]:
    """Each rule of a file with its parts, and each correlation with what it counts and by what.
    `lists`: those that are known.

    Raises RuleErrors when the file does not load, as `rules check` does.
    """
    load_rules([path], maps=maps, lists=lists, more_lists=True)
    beside = path.with_name(FIELD_MAP)
    files = maps if maps is not None else [beside] if beside.is_file() else []
    fields = [read_field_map(str(file), file.read_text(encoding="utf-8")) for file in files]
    placeholders = placeholders_beside(path)
    problems: list[Problem] = []
    documents = list(read_documents(str(path), path.read_text(encoding="utf-8"), problems))
    if problems:
        raise RuleErrors(problems)
    matched: dict[str, bool] = {}
    sources: dict[str, FieldMap | None] = {}
    explained: dict[int, dict[str, Any]] = {}
    for number, document in enumerate(documents):
        content = document.content
        if "detection" not in content:
            continue
        part = explain(document, event, fields, placeholders)
        for key in {"id", "name"} & content.keys():
            matched[str(content[key])] = part.holds
            sources[str(content[key])] = find_map(fields, logsource_of(content))
        explained[number] = {
            "title": content.get("title"),
            "matches": part.holds,
            "condition": as_object(part),
        }
    for number, document in enumerate(documents):
        if "correlation" in document.content:
            explained[number] = _correlation(document.content, matched, sources, event)
    return [explained[number] for number in sorted(explained)]


def _correlation(
    content: dict[str, Any],
    matched: dict[str, bool],
    sources: dict[str, FieldMap | None],
    event: pl.DataFrame,
) -> dict[str, Any]:
    """What a correlation counts of this event. A rule of another file is None."""
    correlation = content["correlation"]
    rules = _names(correlation.get("rules")) or referenced(correlation["condition"])
    counting = next((name for name in rules if matched.get(name)), None)
    source = next((sources[name] for name in [counting, *rules] if name in sources), None)
    aliases = correlation.get("aliases") or {}
    row = event.row(0, named=True)
    group = {}
    for name in _names(correlation.get("group-by")):
        by_rule = aliases.get(name, {})
        field = by_rule.get(counting) or next(iter(by_rule.values()), name)
        columns = source.columns(field) if source else given(field)
        group[name] = next((row[column] for column in columns if row.get(column) is not None), None)
    return {
        "title": content.get("title"),
        "counts": any(matched.get(name, False) for name in rules),
        "rules": {name: matched.get(name) for name in rules},
        "group": group,
    }


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
    if "condition" in entry:
        yield f"{_mark(entry['matches'])} {entry['title']}"
        yield from _lines(entry["condition"], 1, "condition: ")
        return
    yield f"{_mark(entry['counts'])} {entry['title']} (correlation)"
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


def _mark(matches: bool | None) -> str:
    return YES if matches else NO if matches is False else "?"
