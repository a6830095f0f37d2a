"""Latency at a steady rate: from the call that produces a raw line to its committed event."""

import multiprocessing
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice

import numpy as np
import numpy.typing as npt
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.sender import send
from bench.systems import PARTITIONS, SOURCE, TENANT, Setup, System, running, start, stop

RATE = 2_000
WARM_UP_S = 15
MEASURED_S = 20
TAIL_S = 30.0

SENT = re.compile(rb'"uid":"(\d{11,20})"')
"""The object id of a sent line is the time of the call that produced it, in ns since the machine's
start (bench/sender.py)."""


def measure(system: System, setup: Setup, lines: Sequence[bytes]) -> tuple[float, float]:
    """Latency of `system` in ms, median and 99th percentile, after a warm-up at the same rate."""
    system.prepare(setup)
    process = start(system, setup)
    chosen = list(islice(cycle(lines), RATE * (WARM_UP_S + MEASURED_S)))
    try:
        with sending(setup, chosen):
            topic = setup.names.events(TENANT)
            seconds = _receive(setup.bootstrap, topic, len(chosen), lambda: running(process, setup))
    finally:
        stop(process, setup)
    p50, p99 = np.percentile(seconds[RATE * WARM_UP_S :], [50, 99]) * 1e3
    return float(p50), float(p99)


@contextmanager
def sending(setup: Setup, lines: Sequence[bytes]) -> Iterator[None]:
    """Lines go to the raw topic at the rate, from a process of its own."""
    # A fresh process: a fork would copy this one's librdkafka threads half alive.
    sender = multiprocessing.get_context("spawn").Process(
        target=send,
        args=(setup.bootstrap, setup.names.raw(SOURCE), PARTITIONS, RATE, lines),
    )
    sender.start()
    try:
        yield
    finally:
        sender.terminate()
        sender.join()


def _receive(
    bootstrap: str, topic: str, count: int, check: Callable[[], None]
) -> npt.NDArray[np.float64]:
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
