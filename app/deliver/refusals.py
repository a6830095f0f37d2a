"""Records that a receiver refuses for good, kept in a file of JSON lines with its reason.

A line has `time`, `delivery`, `topic`, `partition`, `offset`, `key`, `reason` and `value`, or
`value_base64` for what is no UTF-8. The file is readable by its owner alone. A record that is sent
again after a lost connection, and refused again, is in it twice.
"""

import base64
import datetime as dt
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import orjson
from confluent_kafka import Message

from app.deliver.destination import UnreachableError

log = logging.getLogger(__name__)

Refusal: TypeAlias = tuple[Message, str]
"""A record and why."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """Of one delivery. Written with one call, so that several processes may share the file."""

    delivery: str
    file: Path

    def keep(self, found: Sequence[Refusal]) -> None:
        """Returns when they are on disk. Raises UnreachableError if they cannot be: the delivery
        waits then and loses nothing."""
        if not found:
            return
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        lines = b"".join(orjson.dumps(self._line(now, *each)) + b"\n" for each in found)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            opened = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                end = os.fstat(opened).st_size
                if end and os.pread(opened, 1, end - 1) != b"\n":
                    lines = b"\n" + lines  # a disk that was full, or a kill, has cut the last one
                view = memoryview(lines)
                while view:
                    view = view[os.write(opened, view) :]
                os.fsync(opened)
            finally:
                os.close(opened)
        except OSError as error:
            problem = f"{self.file}: refused records cannot be kept: {error.strerror}"
            raise UnreachableError(problem) from None
        log.error(
            "The receiver refuses records for good; they are kept. delivery=%s records=%d file=%s "
            "reason=%s",
            self.delivery,
            len(found),
            self.file,
            found[0][1],
        )

    def _line(self, now: str, message: Message, reason: str) -> dict[str, object]:
        return {
            "time": now,
            "delivery": self.delivery,
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "key": (message.key() or b"").decode("utf-8", "replace"),
            "reason": reason,
            **_value(message.value()),
        }


def _value(value: bytes) -> dict[str, str]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}
