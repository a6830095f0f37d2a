"""What it costs to hand a tenant's events to a receiver by TCP and RELP, beside rsyslog's imkafka.

Each system reads the same topic in the same run and sends to a receiver that only counts. Its CPU
counts from the first record, which it gets alone, to the last of those that follow.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Producer

from app.broker import admin, ports
from app.broker.server import EmbeddedKafka
from app.config import load
from app.planning import build_plan, declared
from bench.ingest import cpu
from bench.measure import Measurement, show, write
from bench.options import Options

ROOT = Path(__file__).parents[1]
BAR = 1.0
"""CPU a message, as a share of rsyslog's."""
WINDOW = 2000
"""With rsyslog's default of 128 both mostly wait for answers."""
ARRIVE_S = 120.0
VALUE = b'{"n":%d,"text":"%s"}'
PAD = b"x" * 560

RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="256k")
main_queue(queue.size="100000" queue.dequeueBatchSize="1024")
module(load="imkafka")
input(type="imkafka" topic="{topic}" broker="{broker}" consumergroup="rsyslog-{name}"
      confParam=["auto.offset.reset=earliest"])
template(name="out" type="string"
         string="<110>1 %timegenerated:::date-rfc3339% host northbound - events - %msg%")
{action}
"""
ACTIONS = {
    "tcp": 'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" template="out")',
    "relp": 'module(load="omrelp")\naction(type="omrelp" target="127.0.0.1" port="{port}" '
    'windowSize="{window}" template="out")',
}
TO: dict[str, dict[str, Any]] = {
    "tcp": {"type": "syslog", "framing": "lf"},
    "relp": {"type": "relp", "window": WINDOW},
}


def run(options: Options) -> int:
    """Measure all; 0 when every record arrived and every bar is met."""
    peers = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin")
    if peers is None:
        print("rsyslogd is not there: install rsyslog, rsyslog-relp and rsyslog-kafka to compare.")
    best: dict[tuple[str, str, str], Measurement] = {}
    with tempfile.TemporaryDirectory() as folder:
        kafka = EmbeddedKafka(Path(folder) / "kafka", listen="127.0.0.1:0", advertise="localhost:0")
        with kafka:
            for number in range(options.runs):
                for protocol in TO:
                    place = Path(folder) / f"{number}-{protocol}"
                    for each in _compare(kafka.bootstrap, place, protocol, peers, options.lines):
                        old = best.get(each[:3], each)
                        best[each[:3]] = min(old, each, key=lambda found: found.value)
    results = list(best.values())
    for case in dict.fromkeys(each.case for each in results):
        show(case, [each for each in results if each.case == case])
    if options.complete:
        write(results)
    return _verdict(results)


def _verdict(results: list[Measurement]) -> int:
    failed = 0
    values = {each[:2]: each.value for each in results}
    for (case, system), value in values.items():
        if system == "northbound" and (case, "rsyslog") in values:
            share = value / values[case, "rsyslog"]
            met = share <= BAR
            print(
                f"{'met   ' if met else 'MISSED'} {case} of rsyslog's CPU: {share:.2f} (bar {BAR})"
            )
            failed |= not met
    return int(failed)


def _compare(
    broker: str, place: Path, protocol: str, peers: str | None, count: int
) -> list[Measurement]:
    """CPU a message of both, each alone, each with records of its own topic."""
    found = []
    for system in ("northbound", "rsyslog"):
        if system == "rsyslog" and peers is None:
            continue
        folder = place / system
        folder.mkdir(parents=True)
        with _sink(protocol) as sink:
            topic = _deploy(folder, broker, protocol, sink.port, f"{place.name}-{system}-")
            producer = Producer({"bootstrap.servers": broker, "compression.type": "lz4"})
            producer.produce(topic, VALUE % (0, PAD), b"h")
            producer.flush(30)
            argv = _argv(folder, system, protocol, topic, broker, sink.port, peers)
            log = (folder / "log").open("wb")
            process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
            try:
                sink.wait(1, folder)
                before = cpu(process.pid)
                _fill(producer, topic, count)
                sink.wait(count + 1, folder)
                used = cpu(process.pid) - before
            finally:
                process.kill()
                process.wait()
                log.close()
        case = f"deliveries-{protocol}"
        found.append(Measurement(case, system, "cpu_us_per_record", used / count * 1e6))
    return found


def _fill(producer: Producer, topic: str, count: int) -> None:
    for number in range(count):
        while True:
            try:
                producer.produce(topic, VALUE % (number, PAD), b"h%d" % (number % 50))
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush(60)


def _deploy(folder: Path, broker: str, protocol: str, port: int, prefix: str) -> str:
    """northbound.yaml with its topics; that of the tenant's events."""
    to = {**TO[protocol], "addresses": [f"127.0.0.1:{port}"]}
    content = {
        "version": 1,
        "kafka": {"external": {"bootstrap": broker, "replication": 1}, "topic_prefix": prefix},
        "sources": {"any": {"format": "rfc5424"}},
        "tenants": {"acme": {"sources": ["any"]}},
        "deliveries": [{"name": "siem", "tenant": "acme", "feeds": ["events"], "to": to}],
    }
    file = folder / "northbound.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    config = load(file)
    topics = declared(config, build_plan(config, origins={}))
    admin.ensure(admin.connect(config.client()), topics, 1)
    return config.names.events("acme")


def _argv(
    folder: Path,
    system: str,
    protocol: str,
    topic: str,
    broker: str,
    port: int,
    peers: str | None,
) -> list[str]:
    if system == "northbound" or peers is None:
        start = "from app.cli import main; main()"
        return [sys.executable, "-c", start, "deliver", "-c", str(folder / "northbound.yaml")]
    action = ACTIONS[protocol].format(port=port, window=WINDOW)
    conf = folder / "rsyslog.conf"
    conf.write_text(
        RSYSLOG.format(folder=folder, topic=topic, broker=broker, name=protocol, action=action)
    )
    return [peers, "-n", "-f", str(conf), "-i", str(folder / "pid")]


class Sink:
    """bench/delivery_sink.py as a process, and how many it has."""

    def __init__(self, protocol: str) -> None:
        self.port = ports.free("127.0.0.1")
        self.count = -1
        script = Path(__file__).with_name("delivery_sink.py")
        argv = [sys.executable, str(script), protocol, str(self.port)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.count = int(line)

    def wait(self, count: int, folder: Path) -> None:
        """Until it has so many. Raises RuntimeError."""
        deadline = time.monotonic() + ARRIVE_S
        while self.count < count:
            if time.monotonic() > deadline:
                log = (folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{folder}: {self.count} of {count} records arrived\n{log}")
            time.sleep(0.01)


@contextmanager
def _sink(protocol: str) -> Iterator[Sink]:
    made = Sink(protocol)
    try:
        made.wait(0, ROOT)
        yield made
    finally:
        made.process.kill()
        made.process.wait()
