"""What must not decide which events there are: answers of live look-ups, and a tenant's own tables.

A batch that is processed again may be enriched with other answers than the first time. Whether an
event is aggregated, and with which others, is therefore asked of nothing that comes from them. It
is so for all tenants at once, before what is one tenant's alone is added.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from app.config import Config
from app.config.enrichment import Enrichment
from topology.templates import Copy, TemplateError, template


def unrepeatable(config: Config) -> list[str]:
    """Aggregations that ask for such attributes, each with its place in the file."""
    attributes, entries = _depending(config.enrich)
    own = tuple(f"@enrich.{each.entry_name}." for each in config.enrich if each.tenant is not None)
    problems: list[str] = []
    for source, settings in config.sources.items():
        for number, each in enumerate(settings.aggregate or ()):
            at = ("sources", source, "aggregate", number)
            asked: list[tuple[tuple[str | int, ...], str]] = [
                (("by", place), name) for place, name in enumerate(each.by)
            ]
            asked += [(("when",), name) for name in _names(each.when)]
            problems += [
                config.problem(
                    (*at, *key),
                    f"saw {name!r}, which live look-ups fill; which events there are would depend "
                    "on when answers come; expected an attribute of the source",
                )
                for key, name in asked
                if name in attributes or name.startswith(tuple(entries))
            ]
            problems += [
                config.problem(
                    (*at, *key),
                    f"saw {name!r}, which is one tenant's own, but events are aggregated for all; "
                    "expected an attribute that all have",
                )
                for key, name in asked
                if name.startswith(own)
            ]
    return problems


def _depending(enrich: list[Enrichment]) -> tuple[AbstractSet[str], AbstractSet[str]]:
    """Attributes, and prefixes of columns, that live look-ups fill or that are made of those."""
    attributes: set[str] = set()
    prefixes: set[str] = set()
    for entry in enrich:
        made_of = {*entry.looked_up, *_copied(entry)}
        if not entry.live and not made_of & attributes:
            continue
        if entry.to is not None:
            attributes.add(entry.to)
        if entry.entry_name is not None:
            prefixes.add(f"@enrich.{entry.entry_name}.")
        if entry.dns == "reverse":
            attributes |= {f"{field.rpartition('.')[0]}.hostname" for field in entry.looked_up}
    return attributes, prefixes


def _copied(entry: Enrichment) -> list[str]:
    """The attributes that an attribute is made of."""
    if entry.from_ is not None:
        return [entry.from_]
    try:
        pieces = template(entry.template) if entry.template is not None else []
    except TemplateError:
        return []
    return [piece.field for piece in pieces if isinstance(piece, Copy)]


def _names(detection: object) -> Iterator[str]:
    """The attributes that a condition asks for, and the names of its parts."""
    if isinstance(detection, dict):
        for key, value in detection.items():
            yield str(key).partition("|")[0]
            yield from _names(value)
    elif isinstance(detection, list):
        for value in detection:
            yield from _names(value)
