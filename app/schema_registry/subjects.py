"""The schemas of tenants with `format: avro` in the registry, and the ids that records begin with.

Subjects are named by topic (Confluent's TopicNameStrategy). An id never changes what it stands for,
so those that a start has learnt are kept beside the state: while the registry is away, workers that
were started before start again.
"""

import hashlib
import json
import logging
import os
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from app.config import Config, ConfigError
from app.config.schema_registry import SchemaRegistry
from app.schema_registry.client import Registry, RegistryAwayError, RegistryError
from schemas import codec, event

log = logging.getLogger(__name__)

FORMAT: Final = "avro"
KEPT: Final = "schema-ids.json"
"""File in the folder of the state."""


def subject_of(topic: str) -> str:
    """Where the schemas of a topic's values are."""
    return f"{topic}-value"


def opened(config: Config) -> Registry | None:
    """The registry, if there is one. Raises ConfigError for what is not where the file says."""
    found = config.schema_registry
    if found is None:
        return None
    login = found.login(config, ("schema_registry",))
    return Registry(found.urls, _context(config, found), login)


def schema_ids(config: Config, tenants: Iterable[str] | None = None) -> dict[str, dict[str, int]]:
    """By tenant and feed, of all tenants or of these; nothing where there is no registry.

    Schemas that are not there are registered. Raises ConfigError with everything that is wrong.
    """
    topics = _topics(config, config.tenants if tenants is None else tenants)
    settings, registry = config.schema_registry, opened(config)
    if settings is None or registry is None or not topics:
        return {}
    schema = codec.text(event.RECORD)
    mark = hashlib.sha256(schema.encode()).hexdigest()
    kept = _Kept(config.state / KEPT, settings.urls)
    problems: list[str] = []
    found: dict[str, dict[str, int]] = {}
    for (tenant, feed), topic in topics.items():
        subject = subject_of(topic)
        try:
            number = _settled(registry, settings, subject, schema)
        except RegistryAwayError as error:
            known = kept.get(subject, mark)
            if known is None:
                problems.append(config.problem(("schema_registry",), str(error)))
                break  # every other subject would wait as long
            log.warning("%s The id of an earlier start is used. subject=%s", error, subject)
            number = known
        except RegistryError as error:
            problems.append(config.problem(("schema_registry",), str(error)))
            continue
        kept.put(subject, mark, number)
        found.setdefault(tenant, {})[feed] = number
    if problems:
        raise ConfigError(problems)
    kept.write()
    return found


def _topics(config: Config, tenants: Iterable[str]) -> dict[tuple[str, str], str]:
    of_feed = {"events": config.names.events, "alerts": config.names.alerts}
    return {
        (tenant, feed): of_feed[feed](tenant)
        for tenant in tenants
        for feed in config.tenants[tenant].feeds
        if config.tenants[tenant].format == FORMAT
    }


def _settled(registry: Registry, settings: SchemaRegistry, subject: str, schema: str) -> int:
    """The id of a schema under a subject, registered if it has to be. Raises RegistryError."""
    found = registry.id_of(subject, schema)
    if found is not None:
        return found
    if not settings.publish:
        raise RegistryError(
            f"{subject} has not the schema that this version writes. Register it there "
            "(schemas/avro, or event.v*.avsc of a bundle), or set schema_registry.publish: true."
        )
    if registry.has(subject):
        if objections := registry.objections(subject, schema):
            raise RegistryError(
                f"{subject} has a schema with which the one that this version writes is not "
                f"compatible: {'; '.join(objections)}. If the topic holds nothing that is needed, "
                "delete the subject; else give the tenant another name."
            )
        return registry.register(subject, schema)
    leveled = _leveled(registry, settings, subject)
    number = registry.register(subject, schema)
    if not leveled:
        _leveled(registry, settings, subject)
    log.info("Registered. subject=%s id=%d", subject, number)
    return number


def _leveled(registry: Registry, settings: SchemaRegistry, subject: str) -> bool:
    """Whether a new subject has its level; some registries take it only when it has a schema."""
    if settings.compatibility is None:
        return True
    try:
        return registry.set_level(subject, settings.compatibility)
    except RegistryAwayError:
        raise
    except RegistryError as error:
        raise RegistryError(
            f"{error} Or set schema_registry.compatibility: null for the registry's own level."
        ) from None


def _context(config: Config, found: SchemaRegistry) -> ssl.SSLContext | None:
    if not any(each.startswith("https:") for each in found.urls):
        return None
    ca = None if found.ca_file is None else config.path(found.ca_file)
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        text = f"{ca}: {_why(error)}"
        raise ConfigError([config.problem(("schema_registry", "ca_file"), text)]) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if found.certificate_file is not None and found.key_file is not None:
        certificate, key = config.path(found.certificate_file), config.path(found.key_file)
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            at = ("schema_registry", "certificate_file")
            text = f"{certificate} with {key}: {_why(error)}"
            raise ConfigError([config.problem(at, text)]) from None
    return context


def _why(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error)


class _Kept:
    """Ids by subject and schema, of one registry, in a file that may be lost."""

    def __init__(self, file: Path, urls: Iterable[str]) -> None:
        self._file = file
        self._registry = " ".join(sorted(urls))
        self._found = self._read()
        self._before = json.dumps(self._found, sort_keys=True)

    def get(self, subject: str, mark: str) -> int | None:
        found = self._found.get(f"{subject} {mark}")
        return found if isinstance(found, int) else None

    def put(self, subject: str, mark: str, number: int) -> None:
        self._found[f"{subject} {mark}"] = number

    def write(self) -> None:
        """Replace the file at once. What cannot be written is logged: the registry has it all."""
        if json.dumps(self._found, sort_keys=True) == self._before:
            return
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"registry": self._registry, "ids": self._found}))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("Ids of schemas are not kept. path=%s error=%s", self._file, error)

    def _read(self) -> dict[str, object]:
        try:
            content: Mapping[str, object] = json.loads(self._file.read_text(encoding="utf-8"))
            found = content["ids"] if content["registry"] == self._registry else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return dict(found) if isinstance(found, dict) else {}
