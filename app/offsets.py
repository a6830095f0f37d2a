"""Where partitions begin or end, as numbers that are known."""

import time
from collections.abc import Collection
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from topology.records import Partition

RETRY_S = 0.1


def list_offsets(
    admin: Any, partitions: Collection[Partition], spec: OffsetSpec, timeout: float
) -> dict[Partition, int]:
    """The offset of each partition that `spec` asks for, whatever transactions are open.

    While a leader is dead, librdkafka answers -1001 and no error, until it has asked who leads
    now. Then this asks again. Raises KafkaException when some are not known within about `timeout`
    seconds; LEADER_NOT_AVAILABLE says which.
    """
    deadline = time.monotonic() + timeout
    wanted = {TopicPartition(*where): spec for where in partitions}
    while wanted:
        left = max(RETRY_S, deadline - time.monotonic())
        try:
            futures = admin.list_offsets(wanted, request_timeout=left)
            found = {
                (at.topic, at.partition): each.result(2 * left).offset
                for at, each in futures.items()
            }
            unknown = sorted(where for where, offset in found.items() if offset < 0)
            if not unknown:
                return found
            names = ", ".join(f"{topic} [{number}]" for topic, number in unknown)
            admin.list_topics(timeout=left)
            raise KafkaException(
                KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"no broker leads {names}")
            )
        except FutureTimeoutError as error:
            late = KafkaError(KafkaError._TIMED_OUT, "offsets were not listed in time")  # noqa: SLF001
            raise KafkaException(late) from error
        except KafkaException as error:
            missing = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            if missing or time.monotonic() > deadline:
                raise
        time.sleep(RETRY_S)
    return {}
