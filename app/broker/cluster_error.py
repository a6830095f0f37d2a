"""What a Kafka cluster refuses, as one message that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

IS_IT_UP = "is Kafka up (`northbound up`), and is the address right?"
ADVICE = {
    KafkaError._TRANSPORT: f"Nobody answers: {IS_IT_UP}",  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: f"Nobody answers: {IS_IT_UP}",  # noqa: SLF001
    KafkaError._TIMED_OUT: f"No answer in time: {IS_IT_UP}",  # noqa: SLF001
    KafkaError._AUTHENTICATION: "The user name or password is wrong.",  # noqa: SLF001
    KafkaError._SSL: "TLS failed: does ca_file hold the CA of the brokers' certificate?",  # noqa: SLF001
    KafkaError._RESOLVE: "The host name is unknown.",  # noqa: SLF001
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: (
        "Northbound's user lacks a right on the cluster; grant it, or set "
        "kafka.external.manage: false and give what `northbound topics plan --commands` prints "
        "to the cluster's owner."
    ),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (
        "Northbound's user lacks a right on the topic; grant it, or set "
        "kafka.external.manage: false and give what `northbound topics plan --commands` prints "
        "to the cluster's owner."
    ),
    KafkaError.INVALID_REPLICATION_FACTOR: (
        "There are fewer brokers than replicas: set kafka.external.replication."
    ),
    KafkaError.SECURITY_DISABLED: (
        "The cluster has no authorizer, so that it cannot keep tenants apart: set "
        "authorizer.class.name on its brokers."
    ),
    KafkaError.UNSUPPORTED_VERSION: "The brokers are too old; Northbound needs Kafka 4.0 or newer.",
}


REFUSALS = {
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.SECURITY_DISABLED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001  # a public constant
}
"""Codes of what this cluster does for nobody, or not for Northbound's user."""


class ClusterError(Exception):
    """The cluster refused, or did not answer; the text says what to do."""


class RefusedError(ClusterError):
    """The cluster answers, and does not do this for Northbound's user."""


@contextmanager
def cluster_error(doing: str, ignore: int | None = None) -> Iterator[None]:
    """Turn a KafkaException, or a future that is not done in time, into a ClusterError.

    An error with code `ignore` is dropped.
    """
    try:
        yield
    except TimeoutError as error:
        advice = ADVICE[KafkaError._TIMED_OUT]  # noqa: SLF001  # a public constant
        raise ClusterError(f"Cannot {doing}: {advice}") from error
    except KafkaException as error:
        problem = error.args[0]
        code = problem.code() if isinstance(problem, KafkaError) else None
        if ignore is not None and code == ignore:
            return
        text = problem.str() if isinstance(problem, KafkaError) else str(problem)
        advice = ADVICE.get(code, "") if code is not None else ""
        kind = RefusedError if code in REFUSALS else ClusterError
        raise kind(f"Cannot {doing}: {text.rstrip('.')}. {advice}".rstrip()) from error
