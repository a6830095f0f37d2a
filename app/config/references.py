"""What parts of northbound.yaml say of each other: names that are there, each used once; files."""

from typing import TYPE_CHECKING

from app.config import responses
from app.config.deliveries import BINARY_FORMATS, JSON_FORMATS
from app.config.model import Config
from app.yaml_source import At, Document

if TYPE_CHECKING:
    from pathlib import Path


def _shared(config: Config) -> list[str]:
    """Connectors that keep what they know under one name."""
    problems = []
    first: dict[tuple[str, str], int] = {}
    for number, connector in enumerate(config.connectors):
        if connector.type == "http":
            continue
        other = first.setdefault((connector.type, connector.source), number)
        if other != number:
            place = config.place(("connectors", other))
            problems.append(
                config.problem(
                    ("connectors", number, "source"),
                    f"{place} is of type {connector.type} for {connector.source} too; "
                    "use one of each type for a source",
                )
            )
    return problems


def _by_certificate(config: Config) -> list[str]:
    """Tenants that log in by certificate where there is no listener for them."""
    embedded, external = config.kafka.embedded, config.kafka.external
    problems = []
    for name, tenant in config.tenants.items():
        if tenant.login != "certificate" or config.unsure(("kafka",)):
            continue
        text = None
        if external is not None and external.certificates is None:
            text = (
                "saw certificate, which needs kafka.external.certificates: the cluster's SSL "
                "listener that asks for certificates (docs/existing-cluster.md)"
            )
        elif embedded is not None and embedded.northbound.certificates is None:
            text = (
                "saw certificate, which needs the listener kafka.embedded.northbound.certificates"
            )
        if text is not None:
            problems.append(config.problem(("tenants", name, "login"), text))
        if tenant.region is not None:
            text = "expected none with login: certificate: kafka.regions names other listeners"
            problems.append(config.problem(("tenants", name, "region"), text))
    return problems


def naming(config: Config) -> list[tuple[At, str]]:
    """Where a tenant is named beside `tenants`, and which."""
    named: list[tuple[At, str | None]] = [
        (("enrich", number, "tenant"), each.tenant) for number, each in enumerate(config.enrich)
    ]
    named += [
        (("deliveries", number, "tenant"), each.tenant)
        for number, each in enumerate(config.deliveries)
    ]
    named += [
        (("responses", number, "tenant"), each.tenant)
        for number, each in enumerate(config.responses)
    ]
    return [(at, tenant) for at, tenant in named if tenant is not None]


def _tenants(config: Config) -> list[str]:
    """Tenants that are named and not there; nothing further is asked of what names them."""
    known = ", ".join(config.tenants) or "none"
    return [
        config.problem(at, f"saw {tenant!r}, expected one of the tenants: {known}")
        for at, tenant in naming(config)
        if tenant not in config.tenants and not config.unsure(("tenants", tenant))
    ]


def _deliveries(config: Config) -> list[str]:
    """Deliveries of feeds or names that are not right."""
    problems = []
    first: dict[str, int] = {}
    for number, delivery in enumerate(config.deliveries):
        at = ("deliveries", number)
        tenant = config.tenants.get(delivery.tenant)
        if tenant is None:
            pass  # what is wrong with it is told
        elif missing := [feed for feed in delivery.feeds if feed not in tenant.feeds]:
            problems.append(
                config.problem(
                    (*at, "feeds"),
                    f"tenant {delivery.tenant} has no {' and '.join(missing)}; expected some of "
                    f"{', '.join(tenant.feeds)}",
                )
            )
        elif tenant.format in BINARY_FORMATS:
            problems.append(
                config.problem(
                    (*at, "tenant"),
                    f"tenant {delivery.tenant} has the format {tenant.format}, whose records are "
                    "no text; only consumers of Kafka take it. Add a tenant with another format",
                )
            )
        elif delivery.needs_json and tenant.format not in JSON_FORMATS:
            problems.append(
                config.problem(
                    (*at, "to"),
                    f"takes nothing but JSON, and tenant {delivery.tenant} has the format "
                    f"{tenant.format}; expected {' or '.join(JSON_FORMATS)}",
                )
            )
        other = first.setdefault(delivery.name, number)
        if other != number:
            place = config.place(("deliveries", other))
            problems.append(
                config.problem(
                    (*at, "name"),
                    f"{place} is named {delivery.name} too; each needs its own, under "
                    "which its offsets are kept",
                )
            )
    return problems


def references(config: Config, document: Document) -> list[str]:
    """What is wrong between the parts of northbound.yaml, and files that are not there.

    Nothing is told of what only follows from a mistake that is told already.
    """
    problems = _sources(config)
    problems += _shared(config)
    problems += _regions(config)
    problems += _by_certificate(config)
    problems += _tenants(config)
    problems += _deliveries(config)
    problems += responses.problems(config)
    problems += _files(config, document)
    problems += _ports(config)
    return problems


def _sources(config: Config) -> list[str]:
    """Sources that are named and not there."""
    named: list[tuple[At, str]] = [
        (("listeners", number, "source"), each.source)
        for number, each in enumerate(config.listeners)
    ]
    named += [
        (("connectors", number, "source"), each.source)
        for number, each in enumerate(config.connectors)
    ]
    named += [
        (("tenants", name, "sources"), source)
        for name, tenant in config.tenants.items()
        for source in tenant.sources
    ]
    if config.ingest.monitor is not None:
        named.append((("ingest", "monitor"), config.ingest.monitor))
    known = ", ".join(config.sources)
    return [
        config.problem(at, f"saw {source!r}, expected one of the sources: {known}")
        for at, source in named
        if source not in config.sources and not config.unsure(("sources", source))
    ]


def _regions(config: Config) -> list[str]:
    """Regions that are named and not there."""
    known = ", ".join(config.kafka.regions) or "none"
    return [
        config.problem(
            ("tenants", name, "region"),
            f"saw {tenant.region!r}, expected one of kafka.regions: {known}",
        )
        for name, tenant in config.tenants.items()
        if tenant.region is not None
        and tenant.region not in config.kafka.regions
        and not config.unsure(("kafka", "regions", tenant.region))
    ]


def _files(config: Config, document: Document) -> list[str]:
    """Files and folders that are named and not there; nothing further is asked of them."""
    files: list[tuple[At, Path]] = [
        (("enrich", number, entry.file[0]), entry.file[1])
        for number, entry in enumerate(config.enrich)
        if entry.file is not None
    ]
    files += [(("rules", number), rule) for number, rule in enumerate(config.rules)]
    files += [
        (("tenants", name, "rules", number), rule)
        for name, tenant in config.tenants.items()
        for number, rule in enumerate(tenant.rules)
    ]
    files += [
        (("sources", name, "normalizer"), source.normalizer)
        for name, source in config.sources.items()
        if source.normalizer is not None
    ]
    missing = [(at, file) for at, file in files if not config.path(file).exists()]
    problems = [
        config.problem(at, f"saw {str(file)!r}, but there is nothing at {config.path(file)}")
        for at, file in missing
    ]
    document.broken |= {document.written(at) for at, _ in missing}
    return problems


def _ports(config: Config) -> list[str]:
    """Ports that are taken twice."""
    problems = []
    ports: dict[tuple[str, str], tuple[str, int]] = {}
    for at, listener in config.ports:
        first = ports.setdefault(listener.port_key, at)
        if first != at and not listener.listen.endswith(":0"):
            problems.append(
                config.problem(
                    (*at, "listen"),
                    f"{listener.listen} is taken by {config.place(first)}; use another port",
                )
            )
    return problems
