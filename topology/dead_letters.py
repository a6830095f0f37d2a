"""Raw records that did not become events, as records of the topic `dead-letters`."""

from collections.abc import Callable, Iterable

from schemas.codec import encode
from topology.isolate import Failure
from topology.received import RawRecord
from topology.records import Batch, Outcome, Output
from topology.texts import shortened
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
            "reason": shortened(failure.reason),  # it may quote the record
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
    names: Names, source: str, batch: Batch, reason: str, record: Callable[[Failure], RawRecord]
) -> Outcome:
    """Dead letters of all records of a batch, which ended the process each time. A tick, which was
    in work when the process ended for another reason, has nothing that could be kept."""
    rows = [row for row, value in enumerate(batch.values) if value is not None]
    failures = [Failure(row, "worker", reason, "", "") for row in rows]
    letters = dead_letters(names, source, failures, record)
    ticks = len(batch) - len(rows)
    counts = {"records": len(rows), "dead_letters": len(rows), "ticks": ticks}
    return Outcome([letters] if rows else [], counts=counts)
