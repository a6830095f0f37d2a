"""Sources of northbound.yaml as the topology has them: how lines are read, changed, aggregated."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from app.attribute_types import wrong_type
from app.config import Config, ConfigError
from app.config.forms import nearest
from app.filters import compiled
from app.normalizer_files import Loaded, load_normalizer
from app.qumulo_lookups import own_events
from app.reloading import Reloading
from schemas.ocsf import KIND, is_written
from schemas.targets import unwritable
from topology.aggregate.aggregation import Aggregation
from topology.aggregations import Aggregations
from topology.filters import Filter, FilterErrors, Filters
from topology.formats import SOURCE_FORMATS
from topology.mutate.mutation import Mutation
from topology.normalize.normalizer import Normalizer
from topology.operations import OPERATIONS, SettingError, result
from topology.plan import SourcePlan
from topology.rules import LogSource

LOG_SOURCES = {"qumulo": LogSource(product="qumulo", service="audit", category=None)}
"""Which rules' log source a format's events are (Sigma specification 2.1, Log Sources)."""


def source_plans(config: Config, problems: list[str]) -> dict[str, SourcePlan]:
    """All sources; what is wrong with them is added to `problems`, each with file and line."""
    return {name: _source(config, name, problems) for name in config.sources}


def _source(config: Config, name: str, problems: list[str]) -> SourcePlan:
    source = config.sources[name]
    form, options = source.format or "plain", dict(source.options)
    logsource, normalizer = LOG_SOURCES.get(form), None
    if source.normalizer is not None and not config.unsure(("sources", name, "normalizer")):
        path = config.path(source.normalizer)
        try:
            loaded = load_normalizer(path, source.timezone)
            normalizer = Reloading(path, partial(_again, path, source.timezone, loaded))
        except ConfigError as error:
            problems += error.problems
        else:
            form, options = loaded.format, {**loaded.options, **options}
            logsource = loaded.logsource
    if form not in SOURCE_FORMATS:
        known = ", ".join(SOURCE_FORMATS)
        text = f"saw {form!r}, expected one of {known}"
        problems.append(config.problem(("sources", name, "format"), text))
    elif not any(config.unsure(("sources", name, key)) for key in ("format", "normalizer")):
        problems += _options(config, name, form, options)
    return SourcePlan(
        name,
        form,
        logsource,
        {"timezone": source.timezone, **options},
        source.lateness,
        _mutations(config, name, problems),
        _filters(config, name, problems),
        normalizer,
        _aggregations(config, name, problems),
        "monitoring" if name == config.ingest.monitor else "base",
    )


def _again(path: Path, zone: str, first: Loaded) -> Normalizer:
    """The normalizer of a changed file. Raises ConfigError where workers have to start anew."""
    loaded = load_normalizer(path, zone)
    if (loaded.format, loaded.options, loaded.logsource) != (
        first.format,
        first.options,
        first.logsource,
    ):
        raise ConfigError(
            [f"{path}: format, options and logsource are taken up when workers start; restart them"]
        )
    return loaded.normalizer


def _options(config: Config, name: str, form: str, given: Mapping[str, str]) -> list[str]:
    """What is wrong with the options of a source's format."""
    at = ("sources", name, "options")
    known = SOURCE_FORMATS[form].options
    problems = []
    for key, value in given.items():
        if key not in known:
            options = ", ".join(known) or "none"
            near = nearest(key, list(known))
            hint = "" if near is None else f"; did you mean {near}?"
            text = f"saw {key!r}, expected one of the options of {form}: {options}{hint}"
            problems.append(config.problem((*at, key), text))
        elif (expected := known[key].expected(value)) is not None:
            problems.append(config.problem((*at, key), f"saw {value!r}, expected {expected}"))
    problems += [
        config.problem(at, f"format {form} needs {key}: {option.meaning}")
        for key, option in known.items()
        if option.required and key not in given
    ]
    return problems


def _mutations(config: Config, source: str, problems: list[str]) -> tuple[Mutation, ...]:
    found = []
    for number, entry in enumerate(config.sources[source].mutate):
        at = ("sources", source, "mutate", number)
        ((name, setting),) = entry.operations
        target = entry.to or entry.field
        if (why := unwritable(target)) is not None:
            key = "to" if entry.to else "field"
            problems.append(config.problem((*at, key), f"saw {target!r}, {why}"))
            continue
        try:
            change = OPERATIONS[name](setting, config.sources[source].timezone)
        except SettingError as error:
            problems.append(config.problem((*at, name), str(error)))
            continue
        if (why := wrong_type(target, result(name, setting))) is not None:
            problems.append(config.problem((*at, name), f"{target} {why}"))
            continue
        found.append(Mutation(name, entry.field, target, change))
    return tuple(found)


def _filters(config: Config, source: str, problems: list[str]) -> Filters:
    entries = config.sources[source].filters
    own = [
        own_events(each.account, each.addresses)
        for each in config.enrich
        if each.qumulo is not None and each.account is not None and each.addresses is not None
    ]
    return compiled(config, ("sources", source), entries, problems, own)


def _aggregations(config: Config, source: str, problems: list[str]) -> Aggregations | None:
    entries = config.sources[source].aggregate
    if entries is None:
        return None
    _named_apart(config, source, [entry.name for entry in entries], problems)
    conditional = [number for number, entry in enumerate(entries) if entry.when is not None]
    conditions = [
        Filter(entries[number].name, keep=False, detection=entries[number].when or {})
        for number in conditional
    ]
    for number, entry in enumerate(entries):
        at = ("sources", source, "aggregate", number)
        for key, columns in (("by", entry.by), ("keep", entry.keep or ())):
            for place, column in enumerate(columns):
                if not is_written(column) or column == KIND:
                    text = f"saw {column!r}, expected an attribute of the event"
                    problems.append(config.problem((*at, key, place), text))
    try:
        found = Filters(conditions)
    except FilterErrors as error:
        for each in error.problems:
            at = ("sources", source, "aggregate", conditional[each.number])
            first, _, rest = each.key.partition(".")
            problems.append(config.problem((*at, "when", *filter(None, (first, rest))), each.text))
        return None
    return Aggregations(
        tuple(
            Aggregation(
                entry.name,
                tuple(entry.by),
                entry.window,
                None if entry.keep is None else tuple(entry.keep),
                entry.limit,
                entry.originals,
                conditional.index(number) if number in conditional else None,
            )
            for number, entry in enumerate(entries)
        ),
        found,
    )


def _named_apart(config: Config, source: str, names: Sequence[str], problems: list[str]) -> None:
    """No two aggregations of a source have the same name."""
    for number, name in enumerate(names):
        if name in names[:number]:
            text = f"saw {name!r} twice; give each aggregation of a source its own name"
            at = ("sources", source, "aggregate", number, "name")
            problems.append(config.problem(at, text))
