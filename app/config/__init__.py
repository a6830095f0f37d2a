"""northbound.yaml: read, checked as a whole, every mistake reported at once with file and line."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from app.config.connection import UNREADABLE, ConfigError
from app.config.fields import brokers, host_port, tenant_name
from app.config.model import Config
from app.config.references import references
from app.config.shape import fitted, no_mapping
from app.config.tenants import Tenant
from app.yaml_source import Document, SourceError, read

__all__ = [
    "DEFAULT_PATH",
    "Config",
    "ConfigError",
    "Tenant",
    "examined",
    "host_port",
    "in_file_order",
    "load",
]

DEFAULT_PATH = Path("northbound.yaml")
PAGE = "docs/configuration.md"
PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+): ")


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read northbound.yaml and tenants.d/*.yaml beside it.

    Raises ConfigError with every mistake found, each with file, line, key, value and expectation.
    """
    config, problems = examined(path)
    if problems or config is None:
        raise ConfigError(problems)
    return config


def examined(path: Path) -> tuple[Config | None, list[str]]:
    """What is left of northbound.yaml and tenants.d without their mistakes, for further checks (see
    app/config/shape.py), and the mistakes in the order of the files."""
    problems: list[str] = []
    try:
        document = read(path, problems)
    except SourceError as error:
        problems += error.problems
        document = None
    config = None if document is None else _validated(document, problems)
    extra: dict[str, Tenant] = {}
    documents: dict[str, Document] = {}
    for file in sorted((path.absolute().parent / "tenants.d").glob("*.yaml")):
        tenant, own = _tenant(file, problems)
        if own is None:
            if document is not None:
                document.broken.add(("tenants", file.stem))
            continue
        documents[file.stem] = own
        if document is not None and file.stem in _named(document, "tenants"):
            problems.append(f"{file}:1: tenant {file.stem} stands in {path} too; keep one")
        if tenant is not None:
            extra[file.stem] = tenant
    if config is not None and document is not None:
        config = config.model_copy(update={"tenants": {**config.tenants, **extra}})
        config._home = path.absolute().parent  # noqa: SLF001  # set once, right after validation
        config._document = document  # noqa: SLF001  # likewise
        config._tenants = documents  # noqa: SLF001  # likewise
        problems += references(config, document)
    return config, in_file_order(problems)


def in_file_order(problems: list[str]) -> list[str]:
    """Each once, by lines; files in the order in which something is told of them."""
    files: dict[str, int] = {}
    places = []
    for number, problem in enumerate(dict.fromkeys(each for each in problems if each)):
        found = PLACE.match(problem)
        file, line = (found["file"], int(found["line"])) if found else ("", 0)
        places.append((files.setdefault(file, len(files)), line, number, problem))
    return [problem for *_, problem in sorted(places)]


def _validated(document: Document, problems: list[str]) -> Config | None:
    if not isinstance(document.data, dict):
        problems.append(no_mapping(document, "`version: 1`, kafka and sources"))
        return None
    data = {**document.data, **_elsewhere(document.data, problems)}
    config, found = fitted(document, Config, PAGE, data)
    problems += found
    if config is None or UNREADABLE not in config.sources or not document.unsure(("sources",)):
        return config
    sources = {name: each for name, each in config.sources.items() if name != UNREADABLE}
    return config.model_copy(update={"sources": sources})


def _named(document: Document, section: str) -> dict[str, object]:
    """What stands in a section, right or wrong."""
    found = document.data.get(section) if isinstance(document.data, dict) else None
    return found if isinstance(found, dict) else {}


def _elsewhere(data: dict[str, object], problems: list[str]) -> dict[str, object]:
    """With NORTHBOUND_BOOTSTRAP the same file runs on that cluster instead of an embedded one.

    NORTHBOUND_ADVERTISE is then what consumers outside are told, and NORTHBOUND_CA their CA file.
    """
    bootstrap = os.environ.get("NORTHBOUND_BOOTSTRAP")
    kafka = data.get("kafka")
    if not bootstrap or not isinstance(kafka, dict) or "embedded" not in kafka:
        return {}
    wrong = list(_no_brokers("NORTHBOUND_BOOTSTRAP", "NORTHBOUND_ADVERTISE"))
    if wrong:
        problems += wrong
        return {}
    outside = {
        "northbound": os.environ.get("NORTHBOUND_ADVERTISE"),
        "northbound_ca_file": os.environ.get("NORTHBOUND_CA"),
    }
    external = {"bootstrap": bootstrap, **{key: text for key, text in outside.items() if text}}
    rest = {key: value for key, value in kafka.items() if key != "embedded"}
    return {"kafka": {**rest, "external": external}}


def _no_brokers(*variables: str) -> Iterator[str]:
    """Those of the environment's variables that are no addresses of brokers."""
    for variable in variables:
        value = os.environ.get(variable)
        try:
            brokers(value or "unset:1")
        except ValueError as error:
            yield f"{variable}: saw {value!r}, {error}"


def _tenant(file: Path, problems: list[str]) -> tuple[Tenant | None, Document | None]:
    try:
        tenant_name(file.stem)
        document = read(file, problems)
    except SourceError as error:
        problems += error.problems
        return None, None
    except ValueError as error:
        problems.append(f"{file}: tenant name: saw {file.stem!r}, {error}")
        return None, None
    tenant, found = fitted(document, Tenant, PAGE)
    problems += found
    return tenant, document
