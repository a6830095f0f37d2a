"""northbound.yaml: read, checked as a whole, every mistake reported at once with file and line."""

import os
import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.config import responses
from app.config.connection import ConfigError
from app.config.deliveries import BINARY_FORMATS, JSON_FORMATS
from app.config.fields import host_port, tenant_name
from app.config.model import Config, Tenant
from app.yaml_source import Document, SourceError, read

__all__ = ["DEFAULT_PATH", "Config", "ConfigError", "Tenant", "checked", "host_port", "load"]

DEFAULT_PATH = Path("northbound.yaml")


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read northbound.yaml and tenants.d/*.yaml beside it.

    Raises ConfigError with every mistake found, each with file, line, key, value and expectation.
    """
    try:
        document = read(path)
    except SourceError as error:
        raise ConfigError(error.problems) from None
    config, problems = _validate(document)
    extra: dict[str, Tenant] = {}
    documents: dict[str, Document] = {}
    for file in sorted((path.absolute().parent / "tenants.d").glob("*.yaml")):
        tenant, own, found = _tenant(file)
        problems += found
        if tenant is None or own is None:
            continue
        documents[file.stem] = own
        if config is not None and file.stem in config.tenants:
            problems.append(f"{file}:1: tenant {file.stem} stands in {path} too; keep one")
        extra[file.stem] = tenant
    if config is not None:
        config = config.model_copy(update={"tenants": {**config.tenants, **extra}})
        config._home = path.absolute().parent  # noqa: SLF001  # set once, right after validation
        config._document = document  # noqa: SLF001  # likewise
        config._tenants = documents  # noqa: SLF001  # likewise
        problems += _cross_check(config, document)
    if problems or config is None:
        raise ConfigError(problems)
    return config


Model = TypeVar("Model", bound=BaseModel)


def checked(document: Document, model: type[Model], page: str) -> Model:
    """A file of another form, which `page` of the documentation describes.

    Raises ConfigError with every mistake, each with its line.
    """
    try:
        return model.model_validate(document.data, strict=False)
    except ValidationError as error:
        raise ConfigError(_problems(document, error, page)) from None


def _validate(document: Document) -> tuple[Config | None, list[str]]:
    if not isinstance(document.data, dict):
        problem = _no_mapping(document, "`version: 1`, kafka and sources")
        return None, [problem]
    data = {**document.data, **_elsewhere(document.data)}
    try:
        return Config.model_validate(data, strict=False), []
    except ValidationError as error:
        return None, _problems(document, error)


def _elsewhere(data: dict[str, object]) -> dict[str, object]:
    """With NORTHBOUND_BOOTSTRAP the same file runs on that cluster instead of an embedded one.

    NORTHBOUND_ADVERTISE is then what consumers outside are told, and NORTHBOUND_CA their CA file.
    """
    bootstrap = os.environ.get("NORTHBOUND_BOOTSTRAP")
    kafka = data.get("kafka")
    if not bootstrap or not isinstance(kafka, dict) or "embedded" not in kafka:
        return {}
    outside = {
        "northbound": os.environ.get("NORTHBOUND_ADVERTISE"),
        "northbound_ca_file": os.environ.get("NORTHBOUND_CA"),
    }
    external = {"bootstrap": bootstrap, **{key: text for key, text in outside.items() if text}}
    rest = {key: value for key, value in kafka.items() if key != "embedded"}
    return {"kafka": {**rest, "external": external}}


def _tenant(file: Path) -> tuple[Tenant | None, Document | None, list[str]]:
    try:
        tenant_name(file.stem)
        document = read(file)
        return Tenant.model_validate(document.data, strict=False), document, []
    except SourceError as error:
        return None, None, error.problems
    except ValidationError as error:
        return None, None, _problems(document, error)
    except ValueError as error:
        return None, None, [f"{file}: tenant name: saw {file.stem!r}, {error}"]


EXPECTATIONS = {
    "extra_forbidden": "unknown key; see {page} for the keys allowed here",
    "missing": "missing; this key is required",
    "union_tag_not_found": "missing type; see {page} for the types there are",
}


def _problems(
    document: Document, error: ValidationError, page: str = "docs/configuration.md"
) -> list[str]:
    if not isinstance(document.data, dict):
        return [_no_mapping(document, f"keys and their values; see {page}")]
    problems = []
    for item in error.errors():
        if item["loc"][-1] in SCALARS and isinstance(_at(document.data, item["loc"][:-1]), dict):
            continue  # of a constant or a mapping it is a mapping, whose own mistakes are told
        at = _path(item["loc"])
        text = (
            EXPECTATIONS.get(item["type"])
            or _short(item)
            or item["msg"].removeprefix("Value error, ")
        )
        seen = _seen(document.data, at)
        secret = any(
            "password" in str(part) or "token" in str(part) for part in at
        ) or _USER_IN_URL.search(str(seen))
        if seen is not None and not secret and item["type"] not in EXPECTATIONS:
            text = f"saw {seen!r}, {text[0].lower()}{text[1:]}"
        problems.append(document.problem(at, text.replace("{page}", page)))
    return problems


def _no_mapping(document: Document, expected: str) -> str:
    """What is wrong with a file of which not even the keys can be looked at."""
    is_list = isinstance(document.data, list)
    seen = "empty;" if document.data is None else f"saw {'a list' if is_list else 'one value'},"
    return document.problem(("file",), f"{seen} expected {expected}")


def _short(item: ErrorDetails) -> str | None:
    """What a list without elements wants."""
    if item["type"] != "too_short" or item["ctx"]["actual_length"]:
        return None
    least = item["ctx"]["min_length"]
    return f"empty; expected at least {least} item{'s' if least > 1 else ''}"


SECRETS = ("password", "token", "secret")
SCALARS = {"str", "int", "float", "bool"}
"""Pydantic's marks of what a constant may be."""
_USER_IN_URL = re.compile(r"://[^/]*@")


def _path(found: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a mistake is in the file: without pydantic's marks of keys, of validators and of
    connectors' types."""
    at = tuple(
        part for part in found if part != "[key]" and not str(part).startswith("function-after[")
    )
    if at[:1] == ("connectors",):
        return (*at[:2], *at[3:])
    if at[:1] in {("deliveries",), ("responses",)} and at[2:3] == ("to",):
        return (*at[:3], *at[4:])
    return at


def _seen(data: object, at: tuple[str | int, ...]) -> object:
    found = _at(data, at)
    return None if isinstance(found, dict | list) else found


def _at(data: object, at: tuple[str | int, ...]) -> object:
    for part in at:
        try:
            data = data[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _shared(config: Config, document: Document) -> list[str]:
    """Connectors that keep what they know under one name."""
    problems = []
    first: dict[tuple[str, str], int] = {}
    for number, connector in enumerate(config.connectors):
        if connector.type == "http":
            continue
        other = first.setdefault((connector.type, connector.source), number)
        if other != number:
            problems.append(
                document.problem(
                    ("connectors", number, "source"),
                    f"connectors[{other}] is of type {connector.type} for {connector.source} too; "
                    "use one of each type for a source",
                )
            )
    return problems


def _by_certificate(config: Config) -> list[str]:
    """Tenants that log in by certificate where there is no listener for them."""
    embedded = config.kafka.embedded
    problems = []
    for name, tenant in config.tenants.items():
        if tenant.login != "certificate":
            continue
        text = None
        if embedded is None:
            text = "saw certificate, expected password: on an existing cluster whoever manages it "
            text += "issues certificates"
        elif embedded.northbound.certificates is None:
            text = (
                "saw certificate, which needs the listener kafka.embedded.northbound.certificates"
            )
        if text is not None:
            problems.append(config.problem(("tenants", name, "login"), text))
        if tenant.region is not None:
            text = "expected none with login: certificate: kafka.regions names other listeners"
            problems.append(config.problem(("tenants", name, "region"), text))
    return problems


def _deliveries(config: Config, document: Document, tenants: str) -> list[str]:
    """Deliveries of tenants, feeds or names that are not right."""
    problems = []
    first: dict[str, int] = {}
    for number, delivery in enumerate(config.deliveries):
        at = ("deliveries", number)
        tenant = config.tenants.get(delivery.tenant)
        if tenant is None:
            problems.append(
                document.problem(
                    (*at, "tenant"),
                    f"saw {delivery.tenant!r}, expected one of the tenants: {tenants}",
                )
            )
        elif missing := [feed for feed in delivery.feeds if feed not in tenant.feeds]:
            problems.append(
                document.problem(
                    (*at, "feeds"),
                    f"tenant {delivery.tenant} has no {' and '.join(missing)}; expected some of "
                    f"{', '.join(tenant.feeds)}",
                )
            )
        elif tenant.format in BINARY_FORMATS:
            problems.append(
                document.problem(
                    (*at, "tenant"),
                    f"tenant {delivery.tenant} has the format {tenant.format}, whose records are "
                    "no text; only consumers of Kafka take it. Add a tenant with another format",
                )
            )
        elif delivery.needs_json and tenant.format not in JSON_FORMATS:
            problems.append(
                document.problem(
                    (*at, "to"),
                    f"takes nothing but JSON, and tenant {delivery.tenant} has the format "
                    f"{tenant.format}; expected {' or '.join(JSON_FORMATS)}",
                )
            )
        other = first.setdefault(delivery.name, number)
        if other != number:
            problems.append(
                document.problem(
                    (*at, "name"),
                    f"deliveries[{other}] is named {delivery.name} too; each needs its own, under "
                    "which its offsets are kept",
                )
            )
    return problems


def _cross_check(config: Config, document: Document) -> list[str]:
    known = ", ".join(config.sources)
    problems = [
        document.problem(
            ("listeners", number, "source"),
            f"saw {listener.source!r}, expected one of the sources: {known}",
        )
        for number, listener in enumerate(config.listeners)
        if listener.source not in config.sources
    ]
    problems += [
        document.problem(
            ("connectors", number, "source"),
            f"saw {connector.source!r}, expected one of the sources: {known}",
        )
        for number, connector in enumerate(config.connectors)
        if connector.source not in config.sources
    ]
    problems += _shared(config, document)
    for name, tenant in config.tenants.items():
        problems += [
            config.problem(
                ("tenants", name, "sources"),
                f"tenant {name}: saw {source!r}, expected one of the sources: {known}",
            )
            for source in tenant.sources
            if source not in config.sources
        ]
    regions = ", ".join(config.kafka.regions) or "none"
    problems += [
        config.problem(
            ("tenants", name, "region"),
            f"saw {tenant.region!r}, expected one of kafka.regions: {regions}",
        )
        for name, tenant in config.tenants.items()
        if tenant.region is not None and tenant.region not in config.kafka.regions
    ]
    problems += _by_certificate(config)
    tenants = ", ".join(config.tenants) or "none"
    problems += [
        document.problem(
            ("enrich", number, "tenant"),
            f"saw {entry.tenant!r}, expected one of the tenants: {tenants}",
        )
        for number, entry in enumerate(config.enrich)
        if entry.tenant is not None and entry.tenant not in config.tenants
    ]
    problems += _deliveries(config, document, tenants)
    problems += responses.problems(config, document, tenants)
    files: list[tuple[tuple[str | int, ...], Path]] = [
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
    problems += [
        document.problem(at, f"saw {str(file)!r}, but there is nothing at {config.path(file)}")
        for at, file in files
        if not config.path(file).exists()
    ]
    if config.ingest.monitor not in (None, *config.sources):
        problems.append(
            document.problem(
                ("ingest", "monitor"),
                f"saw {config.ingest.monitor!r}, expected one of the sources: {known}",
            )
        )
    ports: dict[tuple[str, str], tuple[str, int]] = {}
    for at, listener in config.ports:
        first = ports.setdefault(listener.port_key, at)
        if first != at and not listener.listen.endswith(":0"):
            problems.append(
                document.problem(
                    (*at, "listen"),
                    f"{listener.listen} is taken by {first[0]}[{first[1]}]; use another port",
                )
            )
    return problems
