"""One row for each rule that was read: whether it loads, what it needs, and what is said of it."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from topology.match.compile import Compilation
from topology.match.documents import Document, Problem, RuleErrors
from topology.match.reading import searches
from topology.rules import LogSource

SECTIONS = ("correlation", "filter")
ATTRIBUTES = ("product", "service", "category")


def rows_of(found: Compilation, known: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The documents in the order of files and lines. `known`: rows of what was compiled."""
    rows = {row["path"]: row for row in known}
    problems = _by_document(found.documents, found.problems)
    notes = _by_document(found.documents, found.notes)
    return [
        {
            **rows.get(_place(document), _read(document)),
            "loads": _place(document) not in problems,
            "problems": problems.get(_place(document), []),
            "notes": notes.get(_place(document), []),
        }
        for document in sorted(found.documents, key=lambda each: (each.path, each.line))
    ]


def _place(document: Document) -> str:
    return f"{document.path}:{document.line}"


def _by_document(
    documents: Sequence[Document], problems: Sequence[Problem]
) -> dict[str, list[str]]:
    """Problems by the place of the document that they are in; others belong to the file."""
    starts: dict[str, list[int]] = {}
    for document in documents:
        starts.setdefault(document.path, []).append(document.line)
    found: dict[str, list[str]] = {}
    for problem in RuleErrors(list(problems)).found:
        lines = sorted(starts.get(problem.path, []))
        at = bisect_right(lines, problem.line)
        if at:
            found.setdefault(f"{problem.path}:{lines[at - 1]}", []).append(str(problem))
    return found


def _read(document: Document) -> dict[str, Any]:
    """What the YAML of a filter says, or that of a rule which was not compiled."""
    content = document.content
    section = next((name for name in SECTIONS if name in content), "detection")
    source = content.get("logsource")
    named = source if isinstance(source, Mapping) else {}
    fields = {
        str(key).split("|")[0]
        for _, entry in (searches(document, section) if section != "correlation" else ())
        if isinstance(entry, Mapping)
        for key in entry
    }
    return {
        "title": str(content.get("title", "")),
        "level": str(content.get("level", "")),
        "status": str(content.get("status", "")),
        "id": str(content.get("id") or content.get("name") or ""),
        "tags": content.get("tags") or [],
        "path": _place(document),
        "kind": "event" if section == "detection" else section,
        "logsource": str(LogSource(*map(named.get, ATTRIBUTES))),
        "fields": " ".join(sorted(fields - {""})),
        "condition": "",
    }
