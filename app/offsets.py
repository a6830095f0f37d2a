"""Where partitions begin or end, as numbers that are known."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from topology.topics import Partition

RETRY_S = 0.1
ATTEMPTS = 4
"""Requests that there is time for, when none is answered."""
SLACK_MS = 10_000
"""How far the time stamps of a topic's records may be out of order."""


class Begin(NamedTuple):
    """Where to go on in a partition. `cut`: records that were read are not there any more, though
    no retention took them."""

    offset: int
    cut: bool


def begin_at(
    consumer: Any,
    where: Partition,
    wanted: int,
    stamp: int | None,
    bounds: tuple[int, int],
    timeout: float,
    *,
    lost: bool,
) -> Begin:
    """Where to go on in a partition of which all before `wanted` was read: there; at the first
    record that retention has left; or, where the end is gone, behind what is left of what was read.

    `lost`: it may have lost its end, although it reaches further by now. The others as of `newer`,
    which this raises as.
    """
    low, high = bounds
    if wanted < low:
        return Begin(low, cut=False)
    if wanted <= high and not (lost and stamp is not None):
        return Begin(wanted, cut=False)
    begin = newer(consumer, where, stamp, bounds, timeout)
    return Begin(begin if wanted > high else min(begin, wanted), cut=True)


def newer(
    consumer: Any, where: Partition, stamp: int | None, bounds: tuple[int, int], timeout: float
) -> int:
    """Where to go on in a partition that ends before what was read of it: at its first record that
    is about as new as the one read last, or newer. A broker whose power failed may have lost the
    end of a log, and all of a topic that was made anew is newer.

    `stamp`: time stamp of the record read last, in ms; unknown, all is read. `bounds`: first and
    next offset. Raises KafkaException.
    """
    low, high = bounds
    if stamp is None:
        return low
    (found,) = consumer.offsets_for_times(
        [TopicPartition(*where, stamp - SLACK_MS)], timeout=timeout
    )
    if found.error is not None:
        raise KafkaException(found.error)
    return int(found.offset) if low <= found.offset <= high else high


class OffsetReader:
    """Lists offsets with an admin client that `connect` makes, and makes anew after a refusal.

    A client goes on asking with the leader epoch that it knows, which a broker's crash makes old,
    and is refused (FENCED_LEADER_EPOCH) until its metadata is some minutes old.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._admin: Any = None

    @property
    def admin(self) -> Any:
        """The client of now. Another thread may have it made anew at any time."""
        admin = self._admin
        if admin is None:
            admin = self._admin = self._connect()
        return admin

    def list(
        self, partitions: Collection[Partition], spec: OffsetSpec, timeout: float, **options: Any
    ) -> dict[Partition, int]:
        """The offset of each partition that `spec` asks for, whatever transactions are open unless
        `options` (of AdminClient.list_offsets) say otherwise.

        While a leader is dead, librdkafka answers -1001 and no error, until it has asked who leads
        now. Then this asks again. Raises KafkaException when some are not known within about
        `timeout` seconds; LEADER_NOT_AVAILABLE says which.
        """
        deadline = time.monotonic() + timeout
        wanted = {TopicPartition(*where): spec for where in partitions}
        while wanted:
            try:
                found = self._ask(wanted, timeout, options)
                unknown = sorted(where for where, offset in found.items() if offset < 0)
                if not unknown:
                    return found
                names = ", ".join(f"{topic} [{number}]" for topic, number in unknown)
                self.admin.list_topics(timeout=timeout / ATTEMPTS)
                raise KafkaException(
                    KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"no broker leads {names}")
                )
            except KafkaException as error:
                missing = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
                if missing or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_S)
        return {}

    def _ask(
        self, wanted: dict[TopicPartition, OffsetSpec], timeout: float, options: dict[str, Any]
    ) -> dict[Partition, int]:
        admin = self.admin
        try:
            futures = admin.list_offsets(wanted, request_timeout=timeout / ATTEMPTS, **options)
            return {
                (at.topic, at.partition): each.result(timeout).offset
                for at, each in futures.items()
            }
        except FutureTimeoutError as error:
            self._admin = None
            late = KafkaError(KafkaError._TIMED_OUT, "offsets were not listed in time")  # noqa: SLF001
            raise KafkaException(late) from error
        except KafkaException:
            self._admin = None
            raise
