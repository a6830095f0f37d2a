"""Latency at a steady rate: from the call that produces a raw line to its committed event."""

import multiprocessing
import re
import time
from collections.abc import Callable, Sequence

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from bench.systems import PARTITIONS, SOURCE, TENANT, Setup, System, running, start, stop

RATE = 2_000
WARM_UP_S = 12
MEASURED_S = 20
TAIL_S = 15.0

OBJECT = re.compile(rb",(?:ok|fs_access_denied_error),()\d+()")
SENT = re.compile(rb'"uid":"(\d{13,20})"')
"""The object id of a sent line is the monotonic clock, in ns, at the call that produced it."""


def measure(system: System, setup: Setup, lines: Sequence[bytes]) -> tuple[float, float]:
    """Latency of `system` in ms, median and 99th percentile, after a warm-up at the same rate."""
    raw, events = setup.names.raw(SOURCE), setup.names.events(TENANT)
    system.prepare(setup)
    process = start(system, setup)
    sent = lines[: RATE * (WARM_UP_S + MEASURED_S)]
    # A fresh process: a fork would copy this one's librdkafka threads half alive.
    sender = multiprocessing.get_context("spawn").Process(
        target=send, args=(setup.bootstrap, raw, sent)
    )
    sender.start()
    try:
        seconds = _receive(setup.bootstrap, events, len(sent), lambda: running(process, setup))
    finally:
        sender.terminate()
        sender.join()
        stop(process, setup)
    measured = seconds[RATE * WARM_UP_S :]
    p50, p99 = np.percentile(measured, [50, 99]) * 1e3
    return float(p50), float(p99)


def send(bootstrap: str, topic: str, lines: Sequence[bytes]) -> None:
    """Produce lines at RATE, each with the time of its call as its object id."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all"})
    pieces = [
        (line[: at.start(1)], line[at.start(2) :]) for line in lines if (at := OBJECT.search(line))
    ]
    begin = time.monotonic()
    for number, (head, tail) in enumerate(pieces):
        ahead = begin + number / RATE - time.monotonic()
        if ahead > 0:
            producer.poll(0)
            time.sleep(ahead)
        sent = b"%d" % time.monotonic_ns()
        producer.produce(topic, head + sent + tail, partition=number % PARTITIONS)
    producer.flush(30)


def _receive(bootstrap: str, topic: str, count: int, check: Callable[[], None]) -> np.ndarray:
    """Seconds from the call to the consumer for `count` events, in the order they were sent."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-latency",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    sent = np.empty(count, np.int64)
    taken = np.empty(count, np.int64)
    got = 0
    until = time.monotonic() + count / RATE + TAIL_S
    try:
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        while got < count:
            message = consumer.poll(0.5)
            now = time.monotonic_ns()
            if message is None or message.error():
                check()
                if time.monotonic() > until:
                    raise TimeoutError(f"{topic}: {got} of {count} events came in time")
                continue
            found = SENT.search(message.value())
            if found is None:
                raise ValueError(
                    f"{topic}: an event without the object id sent: {message.value()!r}"
                )
            sent[got], taken[got] = int(found[1]), now
            got += 1
    finally:
        consumer.close()
    order = np.argsort(sent, kind="stable")
    return (taken[order] - sent[order]) / 1e9
