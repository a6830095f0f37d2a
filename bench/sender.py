"""The sending side of the latency measurement, a process of its own with few imports."""

import re
import time
from collections.abc import Sequence

from confluent_kafka import Producer

OBJECT = re.compile(rb",(?:ok|fs_access_denied_error),()\d+()")


def send(bootstrap: str, topic: str, partitions: int, rate: int, lines: Sequence[bytes]) -> None:
    """Produce `rate` lines a second; the object id of each becomes the time of its call.

    Time is the monotonic clock in ns, which all processes of a machine share.
    """
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all"})
    found = [(line, OBJECT.search(line)) for line in lines]
    pieces = [(line[: at.start(1)], line[at.start(2) :]) for line, at in found if at]
    begin = time.monotonic()
    for number, (head, tail) in enumerate(pieces):
        ahead = begin + number / rate - time.monotonic()
        if ahead > 0:
            producer.poll(0)
            time.sleep(ahead)
        sent = b"%d" % time.monotonic_ns()
        producer.produce(topic, head + sent + tail, partition=number % partitions)
    producer.flush(30)
