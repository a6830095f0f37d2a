"""northbound.yaml, dictionaries and rules become the topology's plan; all their errors at once."""

from collections.abc import Mapping

from app.config import Config, ConfigError
from app.enrichers import load_enricher
from app.lookups import LookupErrors
from app.rules import load_rules
from topology.enrich import Enricher
from topology.enrich.attribute import TemplateError
from topology.filters import NO_FILTERS, Filter, FilterErrors, Filters
from topology.formats import SOURCE_FORMATS
from topology.match.compile import RuleErrors, RuleSet, compile_rules
from topology.mutate.mutation import Mutation, mutable
from topology.mutate.operations import OPERATIONS, SettingError
from topology.northbound import SERIALIZERS
from topology.pipeline import alerts, pipeline
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource, Tumbling
from topology.topics import StoreTopic, Topic, declare

QUMULO = LogSource(product="qumulo", service="audit", category=None)
LOG_SOURCES = {"qumulo": QUMULO, "qumulo-cloudwatch": QUMULO}
"""Which rules' log source a format's events are (Sigma specification 2.1, Log Sources)."""
KEYS = {"host": "dst_endpoint.hostname", "user": "@user"}


def build_plan(config: Config, origins: Mapping[str, str]) -> Plan:
    """Read the rules and dictionaries that the configuration names.

    `origins` gives each raw topic the stem of its events' uids. Raises ConfigError with every
    mistake in configuration, dictionaries and rules, each with its file and line.
    """
    problems: list[str] = []
    for name, source in config.sources.items():
        if source.format not in SOURCE_FORMATS:
            known = ", ".join(SOURCE_FORMATS)
            text = f"saw {source.format!r}, expected one of {known}"
            problems.append(config.problem(("sources", name, "format"), text))
        else:
            problems += _options(config, name)
    for name, tenant in config.tenants.items():
        if tenant.format not in SERIALIZERS:
            known = ", ".join(SERIALIZERS)
            text = f"saw {tenant.format!r}, expected one of {known}"
            problems.append(config.problem(("tenants", name, "format"), text))
    mutations = {name: _mutations(config, name, problems) for name in config.sources}
    filters = {name: _filters(config, name, problems) for name in config.sources}
    enrichers = _enrichers(config, problems)
    rules = _rules(config, problems)
    if problems:
        raise ConfigError(problems)
    return Plan(
        names=config.names,
        sources={
            name: SourcePlan(
                name,
                source.format,
                LOG_SOURCES.get(source.format),
                {"timezone": source.timezone, **source.options},
                source.lateness,
                mutations[name],
                filters[name],
            )
            for name, source in config.sources.items()
        },
        tenants={
            name: TenantPlan(
                name,
                frozenset(tenant.sources),
                "events" in tenant.feeds,
                "alerts" in tenant.feeds,
                tenant.format,
                KEYS[tenant.key],
                frozenset() if tenant.raw_data else frozenset({"raw_data"}),
            )
            for name, tenant in config.tenants.items()
        },
        origins=origins,
        rules=rules,
        enrichers=tuple(enrichers),
        aggregates=tuple(_aggregates(config)),
        matches_partitions=config.kafka.matches_partitions,
        expose=frozenset(config.expose),
    )


def declared(config: Config, plan: Plan) -> list[Topic]:
    """Every topic of the deployment as it should be, in flow order."""
    window = alerts(plan).window_ms
    stores = [StoreTopic(store, window) for node in pipeline(plan.expose) for store in node.stores]
    return declare(
        config.names,
        config.raw_topics(),
        config.feeds(),
        stores,
        matches_partitions=config.kafka.matches_partitions,
        expose=plan.expose,
        copies=config.copies,
    )


def _options(config: Config, name: str) -> list[str]:
    """What is wrong with the options of a source's format."""
    source, at = config.sources[name], ("sources", name, "options")
    known = SOURCE_FORMATS[source.format].options
    problems = []
    for key, value in source.options.items():
        if key not in known:
            options = ", ".join(known) or "none"
            text = f"saw {key!r}, expected one of the options of {source.format}: {options}"
            problems.append(config.problem((*at, key), text))
        elif (expected := known[key].expected(value)) is not None:
            problems.append(config.problem((*at, key), f"saw {value!r}, expected {expected}"))
    problems += [
        config.problem(at, f"format {source.format} needs {key}: {option.meaning}")
        for key, option in known.items()
        if option.required and key not in source.options
    ]
    return problems


def _mutations(config: Config, source: str, problems: list[str]) -> tuple[Mutation, ...]:
    found = []
    for number, entry in enumerate(config.sources[source].mutate):
        at = ("sources", source, "mutate", number)
        name, setting = entry.operation
        target = entry.to or entry.field
        if not mutable(target):
            key = "to" if entry.to else "field"
            text = f"saw {target!r}, which cannot be changed; expected another attribute"
            problems.append(config.problem((*at, key), text))
            continue
        try:
            change = OPERATIONS[name](setting, config.sources[source].timezone)
        except SettingError as error:
            problems.append(config.problem((*at, name), str(error)))
            continue
        found.append(Mutation(name, entry.field, target, change))
    return tuple(found)


def _filters(config: Config, source: str, problems: list[str]) -> Filters:
    entries = config.sources[source].filters
    names: set[str] = set()
    for number, entry in enumerate(entries):
        if entry.name in names:
            text = f"saw {entry.name!r} twice; give each filter of a source its own name"
            problems.append(config.problem(("sources", source, "filters", number, "name"), text))
        names.add(entry.name)
    try:
        return Filters(
            [Filter(entry.name, entry.action == "keep", entry.detection) for entry in entries]
        )
    except FilterErrors as error:
        for number, key, text in error.problems:
            at = ("sources", source, "filters", number, entries[number].action)
            first, _, rest = key.partition(".")
            problems.append(config.problem((*at, *filter(None, (first, rest))), text))
        return NO_FILTERS


def _enrichers(config: Config, problems: list[str]) -> list[Enricher]:
    found: list[Enricher] = []
    names: set[str] = set()
    for number, entry in enumerate(config.enrich):
        if entry.name is not None and entry.name in names:
            text = f"saw {entry.name!r} twice; give each enrichment its own name"
            problems.append(config.problem(("enrich", number, "as"), text))
            continue
        names.add(entry.name or "")
        if entry.to is not None and not mutable(entry.to):
            text = f"saw {entry.to!r}, which cannot be changed; expected another attribute"
            problems.append(config.problem(("enrich", number, "to"), text))
            continue
        try:
            found.append(load_enricher(entry, config.path))
        except LookupErrors as error:
            problems += error.problems
        except TemplateError as error:
            problems.append(config.problem(("enrich", number, "template"), str(error)))
    return found


def _rules(config: Config, problems: list[str]) -> RuleSet:
    try:
        return load_rules([config.path(path) for path in config.rules], config.state / "cache")
    except RuleErrors as error:
        problems += error.problems
        return compile_rules([])


def _aggregates(config: Config) -> list[Tumbling]:
    return [
        Tumbling(
            name=entry.name,
            select=entry.select,
            by=tuple(entry.by),
            window_ms=entry.window,
            grace_ms=entry.grace,
            at=entry.alert.at,
            title=entry.alert.title,
            level=entry.alert.level,
        )
        for entry in config.aggregate
    ]
