"""Has brokers read the key stores of their listeners again, so that a certificate is renewed while
they run."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from app.broker.admin import TIMEOUT_S, connect
from app.broker.cluster_error import ClusterError, cluster_error

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
    refused: list[ClusterError] = []
    for operation in (AlterConfigOpType.SET, AlterConfigOpType.DELETE):
        for number in brokers:  # librdkafka takes one broker in a call
            entries = [
                ConfigEntry(each, file, incremental_operation=operation) for each in settings
            ]
            resource = ConfigResource(
                ConfigResource.Type.BROKER, str(number), incremental_configs=entries
            )
            try:
                with cluster_error(f"have broker {number} read its certificate again"):
                    (future,) = admin.incremental_alter_configs(
                        [resource], request_timeout=TIMEOUT_S
                    ).values()
                    future.result()
            except ClusterError as error:
                refused.append(error)
    if refused:
        raise refused[0]
