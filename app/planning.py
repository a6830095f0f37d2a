"""northbound.yaml, dictionaries and rules become the topology's plan; all their errors at once."""

from collections.abc import Mapping

import polars as pl

from app.attribute_types import wrong_type
from app.config import Config, ConfigError
from app.config.enrichment import Enrichment
from app.config.fields import duration_text
from app.enrichers import load_enricher
from app.live_lookups import SetupError
from app.lookups import NAME, LookupErrors
from app.repeatable import unrepeatable
from app.rules import configured, rules_unsure, unknown_in_lists
from app.source_plans import source_plans
from app.tenant_plans import Keys, tenant_plans
from schemas.targets import unwritable
from topology.definition import DTYPES
from topology.enrich import Enricher
from topology.match.documents import RuleErrors
from topology.match.ruleset import RuleSet
from topology.pipeline import pipeline
from topology.plan import Plan
from topology.rules import LogSource, Rules, Tumbling
from topology.templates import TemplateError
from topology.topics import Topic, declare

MOST_HELD_S = 12.0
"""Half of what an engine may be stalled (app/runtime/settings.py STALL_S)."""
QUMULO = LogSource(product="qumulo", service="audit", category=None)


def build_plan(
    config: Config,
    origins: Mapping[str, str],
    *,
    make_key: bool = False,
    schema_ids: Mapping[str, Mapping[str, int]] | None = None,
) -> Plan:
    """Read the rules and dictionaries that the configuration names.

    `origins` gives each raw topic the stem of its events' uids. `make_key`: whether the key of
    masked attributes is made if there is none. `schema_ids`: by tenant and feed, what a registry
    says (app/schema_registry). Raises ConfigError with every mistake in
    configuration, dictionaries and rules, each with its file and line.
    """
    problems: list[str] = []
    sources = source_plans(config, problems)
    enrichers = _enrichers(config, problems)
    keys: Keys = "make" if make_key else "read"
    tenants = tenant_plans(config, enrichers, problems, keys=keys, schema_ids=schema_ids)
    rules = _rules(config, problems)
    if problems:
        raise ConfigError(problems)
    return Plan(
        names=config.names,
        sources=sources,
        tenants=tenants,
        origins=origins,
        rules=rules,
        enrichers=tuple(enrichers[None]),
        aggregates=tuple(_aggregates(config)),
        matches_partitions=config.kafka.matches_partitions,
        expose=frozenset(config.expose),
        shared_records=config.workers.shared_records,
    )


def plan_problems(config: Config) -> list[str]:
    """What is wrong with what the configuration means, which may be left of one with mistakes
    (app.config.examined). Nothing is made."""
    problems: list[str] = []
    source_plans(config, problems)
    enrichers = _enrichers(config, problems)
    tenant_plans(config, enrichers, problems, keys="suppose")
    _rules(config, problems)
    return problems


def declared(config: Config, plan: Plan) -> list[Topic]:
    """Every topic of the deployment as it should be, in flow order."""
    stores = [store for node in pipeline(plan.expose) for store in node.stores(plan)]
    return declare(
        config.names,
        config.raw_topics(),
        config.feeds(),
        stores,
        matches_partitions=config.kafka.matches_partitions,
        expose=plan.expose,
        copies=config.copies,
        dictionaries=config.dictionary_topics,
    )


def _enrichers(config: Config, problems: list[str]) -> dict[str | None, list[Enricher]]:
    """By the tenant that they belong to; None: to everybody.

    No name is used twice in what a tenant sees.
    """
    found: dict[str | None, list[Enricher]] = {None: []}
    common = {entry.entry_name for entry in config.enrich if entry.tenant is None}
    taken: set[tuple[str | None, str]] = set()
    for number, entry in enumerate(config.enrich):
        if entry.file is not None and any(
            config.unsure(("enrich", number, key)) for key in (entry.file[0], "key")
        ):
            continue
        name = entry.entry_name
        twice = (entry.tenant, name) in taken or (entry.tenant is not None and name in common)
        if name is not None and twice:
            text = f"saw {name!r} twice; give each enrichment its own name"
            problems.append(config.problem(("enrich", number, "as"), text))
            continue
        taken.add((entry.tenant, name or ""))
        if entry.live and name is not None and NAME.fullmatch(name) is None:
            text = f"saw {name!r}, expected 1-64 letters, digits, dashes or underscores"
            problems.append(config.problem(("enrich", number, "as"), text))
            continue
        if entry.to is not None and (why := unwritable(entry.to)) is not None:
            text = f"saw {entry.to!r}, {why}"
            problems.append(config.problem(("enrich", number, "to"), text))
            continue
        if entry.to is not None and (why := _wrong_type(entry, entry.to)) is not None:
            problems.append(config.problem(("enrich", number, entry.kind), f"{entry.to} {why}"))
            continue
        try:
            found.setdefault(entry.tenant, []).append(load_enricher(entry, config.path))
        except LookupErrors as error:
            problems += error.problems
        except TemplateError as error:
            problems.append(config.problem(("enrich", number, "template"), str(error)))
        except SetupError as error:
            problems.append(config.problem(("enrich", number, error.key), str(error)))
    problems += unrepeatable(config)
    problems += _too_long(config)
    return found


def _wrong_type(entry: Enrichment, target: str) -> str | None:
    """What is wrong with a constant, or a text, in that attribute."""
    if entry.kind not in ("constant", "template"):
        return None
    return wrong_type(target, DTYPES[type(entry.constant)] if entry.template is None else pl.String)


def _too_long(config: Config) -> list[str]:
    """Waits that could keep a worker from its other work until its watchdog ends it."""
    waits = [(number, entry.wait) for number, entry in enumerate(config.enrich) if entry.wait]
    longest = int(MOST_HELD_S * 1000) // max(1, len(config.sources))
    total = sum(wait for _, wait in waits)
    if total <= longest:
        return []
    return [
        config.problem(
            ("enrich", waits[-1][0], "wait"),
            f"saw waits of {duration_text(total)} in all, expected at most "
            f"{duration_text(longest)}, as a batch of each of {len(config.sources)} sources may be "
            f"held one after the other, and {MOST_HELD_S:.0f} s is the most that a worker may take",
        )
    ]


def _rules(config: Config, problems: list[str]) -> RuleSet:
    try:
        rules = configured(config)
    except RuleErrors as error:
        problems += error.problems
        return RuleSet(Rules(), (), ())
    if not rules_unsure(config):
        problems += unknown_in_lists(config, rules)
    return rules


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
