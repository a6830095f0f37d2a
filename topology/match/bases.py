"""Rules that correlations refer to and that are not at hand, out of those of a deployment.

They are there to be counted: whoever names rules says which ones are checked, listed and tested.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from sigma.correlations import SigmaCorrelationRule

from topology.match.documents import Document, Problem, read_documents
from topology.match.extensions import SECTION
from topology.match.fieldmap import FieldMap
from topology.match.reading import parse
from topology.match.references import Parsed
from topology.match.sigma_filters import filtered
from topology.match.values import Placeholders


class Elsewhere(NamedTuple):
    """Rules that may be referred to, as (path, text), and what is beside them.

    `owners`: by path the tenant whose rules are there. `problems`: what could not be read.
    """

    documents: Sequence[tuple[str, str]]
    field_maps: Sequence[FieldMap]
    placeholders: Placeholders
    owners: Mapping[str, str]
    problems: Sequence[Problem]


class Bases(NamedTuple):
    """Those that are referred to, as they are there: Sigma filters are applied."""

    parsed: Sequence[Parsed] = ()
    field_maps: Sequence[FieldMap] = ()
    placeholders: Placeholders = MappingProxyType({})


def bases(
    parsed: Sequence[Parsed],
    elsewhere: Callable[[], Elsewhere] | None,
    problems: list[Problem],
) -> Bases:
    """What the correlations of `parsed`, and those found for them, refer to and `elsewhere` has.

    A rule that shares its name or its id with one of `parsed` is not that one's base. What is wrong
    with a base goes to `problems`; with other rules, where something was looked for in vain.
    """
    own = {name for item in parsed for name in _names(item)}
    wanted = [name for item in parsed for name in _referred(item)]
    if elsewhere is None or all(_meant(own, name) is not None for name in wanted):
        return Bases()
    there = elsewhere()
    broken = list(there.problems)
    known, filters = _documents(there, own, broken)
    found: dict[int, Parsed] = {}
    missing = False
    while wanted:
        name = wanted.pop()
        at = _meant(known, name)
        if at is None:
            missing = missing or _meant(own, name) is None
        elif id(known[at]) not in found:
            for item in parse(known[at], problems):
                found[id(known[at])] = item
                wanted += _referred(item)
    if missing:
        problems += broken
    sieves = [item for document in filters for item in parse(document, [])]
    kept = filtered([*found.values(), *sieves], there.owners, problems, [])
    return Bases(kept, there.field_maps, there.placeholders)


def _documents(
    there: Elsewhere, own: Collection[str], broken: list[Problem]
) -> tuple[dict[str, Document], list[Document]]:
    """Rules by name and by id, and filters."""
    known: dict[str, Document] = {}
    filters: list[Document] = []
    for path, text in there.documents:
        for document in read_documents(path, text, broken):
            names = said_names(document)
            if "filter" in document.content:
                filters.append(document)
            elif names.isdisjoint(own):
                for name in names:
                    known.setdefault(name, document)
    return known, filters


def _names(item: Parsed) -> set[str]:
    """What correlations may call a rule that was read."""
    return {str(name) for name in (item.rule.name, item.rule.id) if name is not None}


def said_names(document: Document) -> set[str]:
    """The same, of a rule that was not read; ids as pySigma spells them."""
    content = document.content
    found = set() if content.get("name") is None else {str(content["name"])}
    with suppress(KeyError, ValueError):
        found.add(str(UUID(str(content["id"]))))
    return found


def _referred(item: Parsed) -> Iterator[str]:
    """Names and ids of the rules that a correlation looks at."""
    if not isinstance(item.rule, SigmaCorrelationRule):
        return
    for each in item.rule.rules or ():
        yield str(each.reference)
    section = item.document.content.get(SECTION)
    absent = section.get("absent") if isinstance(section, dict) else None
    yield from map(str, absent if isinstance(absent, list) else ())


def _meant(names: Collection[str], reference: str) -> str | None:
    """Which of `names` a correlation refers to."""
    return next((each for each in (reference, reference.lower()) if each in names), None)
