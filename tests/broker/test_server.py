"""The embedded broker starts, resumes and says what is wrong."""

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.broker import files
from app.broker.errors import BrokerError
from app.broker.java import Java
from app.broker.node import Node, Tools
from app.broker.ownership import running
from app.broker.server import EmbeddedKafka
from app.broker.settings import INDEX_SIZE
from tests.runtime.processes import wait_for

pytestmark = pytest.mark.broker


def produce(kafka: EmbeddedKafka, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(60) == 0


def consume(kafka: EmbeddedKafka, topic: str, group: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    found: list[bytes] = []
    deadline = time.monotonic() + 120
    try:
        while len(found) < count and time.monotonic() < deadline:
            # A broker that has just started may say of a topic that it does not know it yet.
            messages = consumer.consume(count - len(found), timeout=1)
            found += [message.value() for message in messages if message.error() is None]
    finally:
        consumer.close()
    return found


def test_records_round_trip(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], unique: Callable[[str], str]
) -> None:
    """A record produced on the internal listener can be consumed."""
    topic = create_topic("round-trip")
    produce(kafka, topic, [b"a", b"b"])
    assert consume(kafka, topic, unique("group"), 2) == [b"a", b"b"]


def test_an_index_is_small(kafka: EmbeddedKafka, create_topic: Callable[..., str]) -> None:
    """At 10 MB, the first entries of 1,000 partitions took a minute of CPU time on Linux 6.18."""
    topic = create_topic("index")
    produce(kafka, topic, [b"a"])
    indexes = list(kafka.data.glob(f"**/{topic}-0/*index"))
    assert {file.suffix for file in indexes} >= {".index", ".timeindex"}
    assert max(file.stat().st_size for file in indexes) <= 256 * 1024


def test_a_folder_of_before_keeps_its_indexes(tmp_path: Path) -> None:
    """Kafka does not start when an index in use is longer than the size that is set."""
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "meta.properties").write_text("version=1\n")
    (tmp_path / "server.properties").write_text("process.roles=broker,controller\n")
    node = Node(0, tmp_path, Tools(Java(Path("java"), 17), [], tmp_path / "archive", "1g"))
    for _ in range(2):
        node.write({INDEX_SIZE: "262144", "log.segment.bytes": "1"}, "cluster")
        assert (tmp_path / "server.properties").read_text() == "log.segment.bytes=1\n"


def test_brokers_that_others_start_keep_their_indexes(tmp_path: Path) -> None:
    """`broker-files` is run again at each start of docker-compose.yml, over the files of before."""
    wanted = files.brokers("kafka-1:9092", "localhost:9094", "0.0.0.0:9094")
    now = dt.datetime.now(dt.UTC)
    for _ in range(2):
        (folder,) = files.write(tmp_path, wanted, tls=tmp_path / "tls", storage=tmp_path, now=now)
        assert INDEX_SIZE in (folder / "server.properties").read_text()
    (folder / "server.properties").write_text("process.roles=broker,controller\n")
    for _ in range(2):
        files.write(tmp_path, wanted, tls=tmp_path / "tls", storage=tmp_path, now=now)
        assert INDEX_SIZE not in (folder / "server.properties").read_text()


def test_a_second_northbound_on_the_same_data_is_refused(kafka: EmbeddedKafka) -> None:
    """Two parents never share a data folder; the message names the one that runs."""
    with pytest.raises(BrokerError, match=r"already runs in .*northbound down"):
        EmbeddedKafka(kafka.data).start()
    found = running(kafka.data)
    assert found is not None
    assert found.pids == kafka.pids


PARENT = """
import signal, sys
from pathlib import Path
from app.broker.server import EmbeddedKafka
kafka = EmbeddedKafka(
    Path(sys.argv[1]), listen="127.0.0.1:0", advertise="localhost:0", heap="512m"
)
kafka.start()
print(kafka.bootstrap, kafka.pid, flush=True)
signal.pause()
"""


@pytest.mark.kill
def test_data_survives_everything(
    tmp_path: Path, make_kafka: Callable[..., EmbeddedKafka], unique: Callable[[str], str]
) -> None:
    """kill -9 of the parent, then of the broker, then a stop: the next start has all records.

    Ctrl-C at the terminal does not reach the broker. A broker whose parent was killed is found and
    replaced, and the port stays the same through all of it.
    """
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path], stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            assert parent.stdout is not None
            bootstrap, pid = parent.stdout.readline().split()
            assert os.getsid(int(pid)) != os.getsid(parent.pid)
            admin = AdminClient({"bootstrap.servers": bootstrap})
            admin.create_topics([NewTopic("kept", 1)])["kept"].result()
        finally:
            parent.kill()
    orphans = running(tmp_path)
    assert orphans is not None
    assert (orphans.pids, orphans.owner) == ([int(pid)], None)

    kafka = make_kafka(data=tmp_path)
    assert kafka.replaced == [int(pid)]
    assert kafka.bootstrap == bootstrap
    produce(kafka, "kept", [b"a"])

    kafka.kill()
    assert "was killed" in str(kafka.failure())
    kafka.start()
    assert kafka.failure() is None
    produce(kafka, "kept", [b"b"])

    kafka.stop()
    assert running(tmp_path) is None
    kafka.start()
    assert kafka.bootstrap == bootstrap
    assert consume(kafka, "kept", unique("group"), 2) == [b"a", b"b"]


@pytest.mark.kill
def test_an_open_transaction_is_aborted_after_a_crash(
    make_kafka: Callable[..., EmbeddedKafka],
) -> None:
    """What was not committed when the broker was killed is never seen by read_committed consumers.

    The transaction times out while the broker waits for its old registration to end, and no
    partition has a leader. Kafka 4.3 and 4.4 forget the abort then (KAFKA-20734), and the next
    commit of the same producer commits the old records too.
    """
    kafka = make_kafka()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic("decided", 1)])["decided"].result()

    def transaction(values: list[bytes]) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "transactional.id": "worker",
                "transaction.timeout.ms": 3000,
                "log_level": 0,
            }
        )
        producer.init_transactions(60)
        producer.begin_transaction()
        for value in values:
            producer.produce("decided", value)
        assert producer.flush(60) == 0
        return producer

    left_open = transaction([b"open"])
    kafka.kill()
    kafka.start()
    transaction([b"committed"]).commit_transaction(60)
    reader = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
        }
    )
    reader.assign([TopicPartition("decided", 0, 0)])
    # A broker that has just started may say of a topic that it does not know it yet.
    first = wait_for(
        lambda: next((m for m in reader.consume(1, timeout=1) if m.error() is None), None),
        "a record",
    )
    reader.close()
    assert first.value() == b"committed"
    left_open.purge()
