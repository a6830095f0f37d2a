"""Latency of alerts: from the call that produces the line that crosses a threshold to its alert.

Among the lines of workload W, at the same steady rate, users of our own delete five files each:
the fifth of each makes the rule in bench/rules true, and its provisional alert is waited for.
"""

import re
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench import compare
from bench.latency import RATE, TAIL_S, sending
from bench.systems import PARTITIONS, SOURCE, TENANT, Northbound, Setup, running, start, stop

WARM_UP_S = 10
MEASURED_S = 20
EVERY = 20
"""One line in so many is of a user of our own; an even number, so that they stay in order."""
DELETES = 5
"""The threshold of the rule."""

ALERT = re.compile(rb'"state":"provisional".*"group":\{[^}]*"burst-(\d+)"', re.DOTALL)
LINE = re.compile(rb',"burst-(\d+)",smb2,fs_delete,ok,(\d+),')


def bursts(lines: Sequence[bytes]) -> list[bytes]:
    """The lines with every so many replaced by a delete, at the same event time."""
    changed = list(lines)
    for number, place in enumerate(range(0, len(lines), EVERY)):
        head = b" ".join(lines[place].split(b" ", 2)[:2])
        user = b"burst-%d" % (number // DELETES)
        body = b'10.9.8.7,"%b",smb2,fs_delete,ok,1,"/burst/%d",""' % (user, number)
        changed[place] = b"%b nas-1 qumulo - - - %b" % (head, body)
    return changed


def measure(system: Northbound, setup: Setup, lines: Sequence[bytes]) -> tuple[float, float]:
    """Latency of provisional alerts in ms, median and 99th percentile, after a warm-up."""
    system.prepare(setup)
    process = start(system, setup)
    chosen = bursts(list(islice(cycle(lines), RATE * (WARM_UP_S + MEASURED_S))))
    due = len(chosen) // (EVERY * DELETES)
    try:
        with sending(setup, chosen):
            taken = _alerts(setup, due, lambda: running(process, setup))
    finally:
        stop(process, setup)
    sent = _crossings(setup)
    first = due * WARM_UP_S // (WARM_UP_S + MEASURED_S)
    waits = [taken[number] - sent[number] for number in range(first, due)]
    p50, p99 = np.percentile(waits, [50, 99]) / 1e6
    return float(p50), float(p99)


def _alerts(setup: Setup, due: int, check: Callable[[], None]) -> dict[int, int]:
    """For each user the time of the first alert, in ns of the monotonic clock."""
    consumer = Consumer(
        {
            "bootstrap.servers": setup.bootstrap,
            "group.id": "bench-alert-latency",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    taken: dict[int, int] = {}
    until = time.monotonic() + due * EVERY * DELETES / RATE + TAIL_S
    try:
        topic = setup.names.alerts(TENANT)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while len(taken) < due:
            message = consumer.poll(0.5)
            now = time.monotonic_ns()
            if time.monotonic() > until:
                raise TimeoutError(f"{topic}: {len(taken)} of {due} alerts came in time")
            if message is None or message.error():
                check()
                continue
            found = ALERT.search(message.value())
            if found is not None:
                taken.setdefault(int(found[1]), now)
    finally:
        consumer.close()
    return taken


def _crossings(setup: Setup) -> dict[int, int]:
    """For each user the time of the call that produced its last line, as its object id tells."""
    sent: dict[int, int] = {}
    for partition in range(PARTITIONS):
        for _, value in compare.read(setup.bootstrap, setup.names.raw(SOURCE), partition):
            found = LINE.search(value)
            if found is not None:
                user, time_ns = int(found[1]), int(found[2])
                sent[user] = max(sent.get(user, 0), time_ns)
    return sent
