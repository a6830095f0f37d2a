"""Whether Northbound's user may look at users and rights, asked before they are."""

from confluent_kafka import KafkaError
from confluent_kafka.admin import AclOperation, AdminClient

from app.broker.cluster_error import ADVICE, RefusedError, cluster_error

TIMEOUT_S = 30.0


def require_describe(admin: AdminClient, doing: str) -> None:
    """Return if it may Describe the cluster. Raises RefusedError if not, and ClusterError.

    librdkafka 2.16 ends the process (an assertion) when a broker refuses to list SCRAM users, and
    takes a refusal to list ACLs for there being none.
    """
    with cluster_error(doing):
        asked = admin.describe_cluster(include_authorized_operations=True)
        may = asked.result(TIMEOUT_S).authorized_operations or ()
    if AclOperation.DESCRIBE not in may:
        raise RefusedError(f"Cannot {doing}: {ADVICE[KafkaError.CLUSTER_AUTHORIZATION_FAILED]}")
