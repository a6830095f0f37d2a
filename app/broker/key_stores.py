"""Has brokers read the key stores of their listeners again, so that a certificate is renewed while
they run."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from app.broker.admin import TIMEOUT_S, connect
from app.broker.cluster_error import cluster_error

KEY_STORES = (
    "listener.name.northbound.ssl.keystore.location",
    "listener.name.certificate.ssl.keystore.location",
)
"""Settings of the listeners for consumers; the second is there for tenants with certificates."""


def reload_certificate(
    client: Mapping[str, Any],
    brokers: Sequence[int],
    file: str,
    settings: Sequence[str] = KEY_STORES[:1],
) -> None:
    """Have brokers read the key store of their listeners again, which `file` is.

    A change of a broker's own settings makes it look at its files (Kafka's dynamic configuration);
    the setting is taken away again, as it would outlive a data folder that is moved.
    Raises ClusterError.
    """
    admin = connect(client)
    for operation in (AlterConfigOpType.SET, AlterConfigOpType.DELETE):
        resources = [
            ConfigResource(
                ConfigResource.Type.BROKER,
                str(number),
                incremental_configs=[
                    ConfigEntry(each, file, incremental_operation=operation) for each in settings
                ],
            )
            for number in brokers
        ]
        with cluster_error("have the brokers read their certificate again"):
            futures = admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_S)
            for future in futures.values():
                future.result()
