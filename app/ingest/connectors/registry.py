"""The registry of connectors, by `type` in northbound.yaml; docs/connectors.md is the recipe.

Each is a module with `settings(config, keys, tls)`, which makes of its keys in northbound.yaml what
the agent is told, and `make(settings, agent, client, topic)`, which makes the connector. A module
and the library that it needs are loaded only where northbound.yaml names it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from app import extras
from app.config.connection import ConfigError
from app.ingest.connectors.connector import Connector
from app.ingest.settings import AgentSettings, ConnectorSettings
from app.ingest.tls import TlsSettings

if TYPE_CHECKING:
    from app.config import Config

CONNECTORS: Final = {
    "file": "app.ingest.connectors.file",
    "http": "app.ingest.connectors.http",
    "kafka": "app.ingest.connectors.kafka",
    "nats": "app.ingest.connectors.nats",
    "stdin": "app.ingest.connectors.stdin",
}


def connector_settings(config: "Config", keys: Any, tls: TlsSettings | None) -> ConnectorSettings:
    """What the agent is told of one item of `connectors`. Raises ConfigError for a secret."""
    try:
        module = import_module(CONNECTORS[keys.type])
    except ModuleNotFoundError:
        at = ("connectors", config.connectors.index(keys), "type")
        text = f"{keys.type} {extras.missing(keys.type)}"
        raise ConfigError([config.problem(at, text)]) from None
    found = module.settings(config, keys, tls)
    return cast("ConnectorSettings", found)


def make_connector(
    settings: ConnectorSettings, agent: AgentSettings, client: Mapping[str, Any], topic: str
) -> Connector[Any]:
    """The connector that `settings` describe, not started."""
    found = import_module(CONNECTORS[settings.kind]).make(settings, agent, client, topic)
    return cast("Connector[Any]", found)
