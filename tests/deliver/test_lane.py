"""Where a delivery begins, what it says of records that are gone, and rebalances between two."""

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from app.broker import admin
from app.broker.server import EmbeddedKafka
from tests.deliver.rig import (
    Rsyslog,
    Tenant,
    committed,
    delivering,
    receiving,
    record,
)
from tests.deliver.test_relp import RELP
from tests.ingest.peers import wait_for

pytestmark = pytest.mark.broker

ARCHIVE = {"name": "archive", "to": {"type": "file", "path": "archive.log"}}


def lines(folder: Path) -> list[bytes]:
    file = folder / "archive.log"
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def test_begins_at_the_end(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """`start: end` leaves out what was there before the first start, and nothing that came while
    it was stopped before its first record."""
    tenant = Tenant(kafka, tmp_path, unique("lane"), [{**ARCHIVE, "start": "end"}])
    tenant.write(map(record, range(100)))
    with delivering(tenant.config):
        wait_for(lambda: min(committed(tenant.config, "archive").values()) >= 0, "a beginning")
    tenant.write(map(record, range(100, 200)))
    with delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().delivered >= 100, "100 records")
    assert sorted(lines(tmp_path)) == sorted(map(record, range(100, 200)))


def test_what_retention_removed_is_told(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Records that are gone before they were delivered are counted; those behind them come."""
    tenant = Tenant(kafka, tmp_path, unique("lane"), [ARCHIVE])
    tenant.write(map(record, range(100)))
    with delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().lag == 0, "no lag")
    done = committed(tenant.config, "archive")
    tenant.write(map(record, range(100, 200)))
    client = admin.connect(tenant.config.client())
    ends = [TopicPartition(tenant.topic, number, -1) for number in done]
    lows = {
        each.partition: future.result(60).low_watermark
        for each, future in client.delete_records(ends).items()
    }
    tenant.write(map(record, range(200, 300)))
    with delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().lag == 0, "no lag")
        wait_for(lambda: made[0].totals().delivered == 100, "100 records")
        assert made[0].totals().expired == sum(lows[number] - done[number] for number in done)
    found = lines(tmp_path)
    assert len(found) == 200
    assert set(found) == set(map(record, [*range(100), *range(200, 300)]))


def test_two_processes_share(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """A second process of a delivery takes partitions over while records come, and gives them
    back: nothing is lost, and at most what was under way comes twice."""
    receiver = Rsyslog(tmp_path / "receiver", RELP)
    to = {"type": "relp", "addresses": [receiver.address], "window": 500}
    tenant = Tenant(kafka, tmp_path, unique("lane"), [{"name": "siem", "to": to}])
    with receiving(receiver), delivering(tenant.config) as first:
        with tenant.writing():
            wait_for(lambda: first[0].totals().delivered > 500, "some records")
            with delivering(tenant.config) as second:
                wait_for(lambda: second[0].totals().delivered > 0, "records of the second")
        count = tenant.written
        wait_for(lambda: len(set(receiver.values())) >= count, "all records")
        wait_for(lambda: first[0].totals().lag == 0, "no lag")
    found = receiver.values()
    assert set(found) == set(map(record, range(count)))
    assert len(found) - count <= 2 * 500
