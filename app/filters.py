"""Filters of northbound.yaml, those of a source and those of a tenant, as the topology has them."""

from collections.abc import Sequence

from app.config import Config
from app.config.stages import Filter as FilterConfig
from topology.filters import NO_FILTERS, Filter, FilterErrors, Filters


def compiled(
    config: Config,
    at: tuple[str, str],
    entries: Sequence[FilterConfig],
    problems: list[str],
    before: Sequence[Filter] = (),
) -> Filters:
    """The filters at `sources.<name>` or `tenants.<name>`; `before`: others that come first.

    What is wrong with them is added to `problems`, each with file and line.
    """
    names = [entry.name for entry in entries]
    owner = at[0].removesuffix("s")
    for number, name in enumerate(names):
        if name in names[:number]:
            text = f"saw {name!r} twice; give each filter of a {owner} its own name"
            problems.append(config.problem((*at, "filters", number, "name"), text))
    found = [Filter(each.name, each.action == "keep", each.detection) for each in entries]
    try:
        return Filters([*before, *found])
    except FilterErrors as error:
        for place, key, text in error.problems:
            number = place - len(before)
            path = (*at, "filters", number, entries[number].action)
            first, _, rest = key.partition(".")
            problems.append(config.problem((*path, *filter(None, (first, rest))), text))
        return NO_FILTERS
