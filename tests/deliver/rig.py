"""What tests of deliveries share: a tenant with records, deliveries, rsyslog as a receiver."""

import re
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import yaml
from confluent_kafka import KafkaError, Producer

from app.broker import ports
from app.broker.server import EmbeddedKafka
from app.config import Config
from app.deliver import lane, syslog
from app.deliver.delivery import Delivery
from app.deliver.pauses import Pauses, asking
from app.respond.registry import all_settings
from tests.app.deployed import deploy
from tests.ingest.peers import listens, need, wait_for

KEYS = 20
MOVING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError._TIMED_OUT,
}
"""What a broker says whose topic of offsets has only just been made, and what one that is busy
makes of it."""
RECORD = re.compile(rb'\{"host":"h(\d+)","n":(\d+),[^}]*\}')


def record(number: int) -> bytes:
    """A record whose bytes say where it belongs: OCSF JSON as far as a receiver cares."""
    return b'{"host":"h%d","n":%d,"text":"%s"}' % (number % KEYS, number, b"x" * (number % 300))


class Tenant:
    """A tenant of its own, with topics; `write` commits records in order."""

    def __init__(
        self,
        kafka: EmbeddedKafka,
        folder: Path,
        name: str,
        deliveries: Sequence[dict[str, Any]],
        tenant_format: str = "ocsf-json",
    ) -> None:
        content = {
            "version": 1,
            "kafka": {
                "external": {"bootstrap": kafka.bootstrap, "replication": 1},
                "topic_prefix": f"{name}-",
            },
            "sources": {"any": {"format": "rfc5424"}},
            "tenants": {"acme": {"sources": ["any"], "format": tenant_format, "partitions": 4}},
            "deliveries": [{"tenant": "acme", "feeds": ["events"], **each} for each in deliveries],
        }
        self.config: Config = deploy(folder, yaml.safe_dump(content))
        self.topic = self.config.names.events("acme")
        self._producer = Producer(
            {"bootstrap.servers": kafka.bootstrap, "transactional.id": name, "log_level": 2}
        )
        self._producer.init_transactions(60)
        self.written = 0

    def write(self, records: Iterable[bytes], topic: str = "") -> None:
        """One transaction, of the tenant's events; those of a host keep their order."""
        self._producer.begin_transaction()
        for value in records:
            found = RECORD.fullmatch(value)
            key = b"h" + found[1] if found else b"other"
            self._producer.produce(topic or self.topic, value, key)
            self.written += 1
        self._producer.commit_transaction(60)

    def write_steadily(self, count: int, seconds: float) -> threading.Thread:
        """So many of `record` in transactions, over about so long."""
        step = max(1, count // 50)

        def work() -> None:
            for first in range(0, count, step):
                self.write(map(record, range(first, min(count, first + step))))
                time.sleep(seconds / 50)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    @contextmanager
    def writing(self, step: int = 100) -> Iterator[None]:
        """`record`s in transactions for as long as the block takes, however slow the machine is;
        `written` says how many. Nobody else may write meanwhile."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                self.write(map(record, range(self.written, self.written + step)))
                stop.wait(0.05)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def delivering(config: Config, *, finish_s: float = 60.0) -> Iterator[list[Delivery]]:
    """Deliveries and responses of northbound.yaml, ended in order behind the block: what the
    receiver still answers is waited for, however slow the machine is, up to `finish_s`."""
    pauses = Pauses(asking(config.client()), config.names, config.tenants)
    made = [Delivery(each, config.client(), pauses.held) for each in all_settings(config)]
    pauses.start()
    for each in made:
        each.start()
    try:
        yield made
    finally:
        pauses.stop()
        with (
            mock.patch.object(lane, "FINISH_S", finish_s),
            mock.patch.object(syslog, "END_S", 30.0),
        ):
            for each in made:
                each.stop()
            for each in made:
                each.join(time.monotonic() + 120)


def whole_and_in_order(found: Iterable[bytes], count: int) -> int:
    """Each of `record` came, none other did, and those of a host came in order, except that what
    was sent again after a lost connection begins anew; how many came more than once."""
    numbers: defaultdict[int, list[int]] = defaultdict(list)
    total = 0
    for value in found:
        match = RECORD.fullmatch(value)
        assert match, value
        number = int(match[2])
        assert value == record(number)
        numbers[int(match[1])].append(number)
        total += 1
    seen = {number for each in numbers.values() for number in each}
    missing = set(range(count)) - seen
    assert not missing, f"{len(missing)} are missing, such as {sorted(missing)[:5]}"
    for host, each in numbers.items():
        newest = host - KEYS
        for number in each:
            assert number <= newest + KEYS, f"{number} came after {newest}"
            newest = max(newest, number)
    return total - count


class Rsyslog:
    """rsyslogd that writes what it receives on one port, octet for octet, to files."""

    def __init__(self, folder: Path, inputs: str, head: str = "") -> None:
        need("rsyslogd")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = ports.free("127.0.0.1")
        self.address = f"localhost:{self.port}"
        self._inputs, self._head = inputs, head
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Once more, until it listens; what it receives goes into a new file, as a killed one
        leaves half a line."""
        self._starts += 1
        conf = self.folder / f"rsyslog-{self._starts}.conf"
        out = self.folder / f"out-{self._starts:02}.log"
        inputs = self._inputs.replace("PORT", str(self.port))
        conf.write_text(
            f"""
global(workDirectory="{self.folder}" maxMessageSize="256k" {self._head})
main_queue(queue.type="direct")
{inputs}
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="in") {{ action(type="omfile" file="{out}" template="raw") }}
"""
        )
        with (self.folder / "rsyslog.out").open("ab") as log:
            self._process = subprocess.Popen(
                # A pid file of its own: the number in a killed one's may be another's by now.
                ["/usr/sbin/rsyslogd", "-n", "-f", str(conf), "-i", str(conf.with_suffix(".pid"))],
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: listens(self.port), "rsyslogd that listens")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it, at once unless told otherwise."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def values(self) -> list[bytes]:
        """What it has received, oldest first, without the headers of syslog; whole lines alone."""
        found = []
        for file in sorted(self.folder.glob("out-*.log")):
            *whole, _ = file.read_bytes().split(b"\n")
            found += [line[line.index(b"{") :] if b"{" in line else line for line in whole]
        return found

    def lines(self) -> list[bytes]:
        """The same with headers."""
        files = sorted(self.folder.glob("out-*.log"))
        return [line for file in files for line in file.read_bytes().split(b"\n")[:-1]]


@contextmanager
def receiving(*receivers: Rsyslog) -> Iterator[None]:
    """They run, and are gone behind the block."""
    for each in receivers:
        each.start()
    try:
        yield
    finally:
        for each in receivers:
            each.kill()


def wait_until_delivered(
    made: Sequence[Delivery], values: Callable[[], list[bytes]], count: int, seconds: float = 120.0
) -> None:
    """So many different records have come, and the deliveries say that nothing waits."""
    wait_for(lambda: len(set(values())) >= count, f"{count} records", seconds)
    wait_for(lambda: all(each.totals().lag == 0 for each in made), "no lag", seconds)


def committed(config: Config, name: str) -> dict[int, int]:
    """Offsets that a delivery has committed, by partition of the tenant's events."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    group = config.names.group(f"deliver-{name}")
    consumer = Consumer({**config.client(), "group.id": group})
    wanted = [TopicPartition(config.names.events("acme"), number) for number in range(4)]
    found: list[TopicPartition] = []

    def asked() -> bool:
        try:
            found[:] = consumer.committed(wanted, timeout=15)
        except KafkaException as error:
            if error.args[0].code() not in MOVING:
                raise
        return bool(found)

    try:
        wait_for(asked, "committed offsets")
    finally:
        consumer.close()
    return {each.partition: each.offset for each in found}


def status_of(config: Config, name: str = "deliver") -> dict[str, Any]:
    """The status file of the process; empty before there is one."""
    try:
        found: dict[str, Any] = orjson.loads((config.state / f"{name}.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def killed_mid_stream(tenant: Tenant, receiver: Rsyslog, made: Sequence[Delivery]) -> int:
    """Write records until the receiver was killed and started twice and has more than before, and
    wait until it has them all, in order; gives how many it has twice."""
    with tenant.writing(200):
        for _ in range(2):
            _more(receiver)
            receiver.kill()
            receiver.start()
        _more(receiver)
    wait_until_delivered(made, receiver.values, tenant.written)
    return whole_and_in_order(receiver.values(), tenant.written)


def _more(receiver: Rsyslog) -> None:
    before = len(receiver.values())
    wait_for(lambda: len(receiver.values()) > before + 2_000, "more records")
