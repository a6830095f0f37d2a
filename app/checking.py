"""Everything that is wrong with northbound.yaml and with all that it names, told at once.

What finds a mistake first stops there; this goes on, with what is left without it. Nothing is asked
of Kafka or of others, and nothing is made.
"""

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Config, ConfigError, examined, in_file_order

if TYPE_CHECKING:
    from app.config.listeners import ListenerTls


def complete(
    path: Path, error: ConfigError, *, ingest: bool = False, deliveries: bool = False
) -> ConfigError:
    """An error about northbound.yaml with all else that is wrong.

    `ingest`, `deliveries`: whether this host needs what the ingest agent and the deliveries do,
    their secrets and certificates.
    """
    found = mistakes(path, ingest=ingest, deliveries=deliveries)
    return ConfigError(in_file_order([*found, *error.problems]))


def mistakes(path: Path, *, ingest: bool = True, deliveries: bool = True) -> list[str]:
    """All mistakes in northbound.yaml, tenants.d, dictionaries, normalizers, rules and the tests
    beside them, each once, in the order of the files: file, line, key, what was seen and what was
    expected."""
    config, problems = examined(path)
    if config is None:
        return problems
    # What reads rules and formats takes a second to load, and only this needs it.
    from app.planning import plan_problems  # noqa: PLC0415

    problems += plan_problems(config)
    for check in _checks(config, ingest=ingest, deliveries=deliveries):
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    return in_file_order(problems)


def _checks(config: Config, *, ingest: bool, deliveries: bool) -> Iterator[Callable[[], object]]:
    """What raises ConfigError if something is wrong."""
    yield config.client
    from app.rule_streams import read_tests  # noqa: PLC0415
    from app.rules import test_files  # noqa: PLC0415

    for file in test_files([config.path(path) for path in config.all_rules]):
        yield partial(read_tests, file)
    if config.schema_registry is not None:
        from app.schema_registry.subjects import opened  # noqa: PLC0415

        yield partial(opened, config)
    if deliveries and (config.deliveries or config.responses):
        from app.respond.registry import all_settings  # noqa: PLC0415

        yield partial(all_settings, config)
    if ingest:
        yield from _ingest_checks(config)


def _ingest_checks(config: Config) -> Iterator[Callable[[], object]]:
    from app.ingest.connectors.registry import connector_settings  # noqa: PLC0415

    for keys in config.connectors:
        if keys.source in config.sources:
            yield partial(connector_settings, config, keys, None)
    for (section, number), each in config.ports:
        if each.tls is not None:
            yield partial(_certificate, config, (section, number, "tls"), each.tls)


def _certificate(config: Config, at: tuple[str | int, ...], tls: "ListenerTls") -> None:
    """Whether a listener can use its certificate, and the CA of its senders."""
    from app.ingest.tls import tls_settings  # noqa: PLC0415

    settings = tls_settings(config, tls, None)
    try:
        if settings is not None and tls.certificate is None:  # Northbound's own is made at a start
            settings.trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        elif settings is not None:
            settings.context()
    except OSError as error:
        raise ConfigError([config.problem(at, str(error.strerror))]) from None
