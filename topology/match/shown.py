"""`fields` of rules: what Sigma has them name for whoever looks into their alerts (Sigma rules
specification 2.1.0), and so what alerts show of their events."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from topology.match.documents import Document, Problem
from topology.match.members import Members
from topology.match.values import UnsupportedError
from topology.rules import Fields

SECTION = "fields"
Columns = Callable[[str], Iterable[str]]


def shown_fields(
    document: Document, named: Sequence[object], columns: Columns, warnings: list[Problem]
) -> Fields:
    """Those of a rule on single events. One that is not in the field map is shown by no alert,
    which `warnings` tell: rules of others name fields for people, and match without them."""
    found: dict[str, tuple[str, ...]] = {}
    for name in map(str, named):
        try:
            found[name] = tuple(columns(name))
        except UnsupportedError as error:
            warnings.append(document.problem(f"{error}; alerts do not show it", SECTION))
    return tuple(found.items())


def shown_of_members(
    document: Document,
    named: Sequence[object],
    indexes: Sequence[int],
    aliases: Mapping[str, Mapping[int | str, str]],
    members: Members,
    warnings: list[Problem],
) -> Fields:
    """Those of a correlation, which may be aliases, and then those of its members."""
    found: dict[str, dict[str, None]] = {}
    for name in map(str, named):
        unknown: list[UnsupportedError] = []
        for index in indexes:
            field = aliases[name].get(index, name) if name in aliases else name
            try:
                columns = members.columns(index)(field)
            except UnsupportedError as error:
                unknown.append(error)
            else:
                found.setdefault(name, {}).update(dict.fromkeys(columns))
        if name not in found and unknown:
            warnings.append(document.problem(f"{unknown[0]}; alerts do not show it", SECTION))
    for index in indexes:
        for name, listed in members.shown(index):
            found.setdefault(name, {}).update(dict.fromkeys(listed))
    return tuple((name, tuple(columns)) for name, columns in found.items())
