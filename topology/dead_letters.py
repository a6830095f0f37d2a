"""Raw records that did not become events, as records of the topic `dead-letters`."""

from collections.abc import Callable, Iterable

from schemas.codec import encode
from topology.isolate import Failure
from topology.received import RawRecord
from topology.records import Outcome, Output
from topology.topics import Names


def dead_letters(
    names: Names, source: str, failures: Iterable[Failure], record: Callable[[Failure], RawRecord]
) -> Output:
    """One dead letter for each failure. `record` gives the raw record of a failure, or what of it
    the failure is about."""
    values = []
    for failure in failures:
        topic, partition, offset, timestamp, key, value, uid = record(failure)
        letter = {
            "stage": failure.stage,
            "reason": failure.reason,
            "component": failure.component,
            "version": failure.version,
            "source": source,
            "raw": value,
            "key": key,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp": timestamp,
            "uid": uid,
        }
        values.append(encode("DeadLetter", letter))
    return Output(names.dead_letters, values, [source.encode()] * len(values))


def rejected(
    names: Names, source: str, count: int, reason: str, record: Callable[[Failure], RawRecord]
) -> Outcome:
    """Dead letters of all `count` records of a batch, which ended the process each time."""
    failures = [Failure(row, "worker", reason, "", "") for row in range(count)]
    letters = dead_letters(names, source, failures, record)
    return Outcome([letters], counts={"records": count, "dead_letters": count})
