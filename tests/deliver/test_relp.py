"""RELP to a real imrelp that is killed and started again: nothing lost, order kept per key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.broker.server import EmbeddedKafka
from tests.deliver.rig import (
    Rsyslog,
    Tenant,
    delivering,
    receiving,
    record,
    wait_until_delivered,
    whole_and_in_order,
)
from tests.ingest.peers import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.kill]

RELP = (
    'module(load="imrelp")\n'
    'input(type="imrelp" address="127.0.0.1" port="PORT" ruleset="in" maxDataSize="256k")'
)


@pytest.mark.parametrize("window", [128, 2000])
def test_receiver_killed(
    window: int, kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """imrelp is killed with SIGKILL twice while records come: none is lost, a host's stay in
    order, and at most a window comes again each time."""
    receiver = Rsyslog(tmp_path / "receiver", RELP)
    to = {"type": "relp", "addresses": [receiver.address], "window": window}
    tenant = Tenant(kafka, tmp_path, unique("relp"), [{"name": "siem", "to": to}])
    count = 10_000
    with receiving(receiver), delivering(tenant.config) as made:
        writer = tenant.write_steadily(count, 2.5)
        for share in (0.3, 0.6):
            wait_for(lambda: len(receiver.values()) > share * count, "some records")  # noqa: B023
            receiver.kill()
            receiver.start()
        writer.join()
        wait_until_delivered(made, receiver.values, count)
        again = whole_and_in_order(receiver.values(), count)
        totals = made[0].totals()
        assert totals.failures >= 2
        assert again <= totals.retried <= 2 * window
        assert totals.delivered >= count


def test_stops_without_repeating(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Ended in order, a delivery waits for the answers that are due: nothing comes twice."""
    receiver = Rsyslog(tmp_path / "receiver", RELP)
    to = {"type": "relp", "addresses": [receiver.address]}
    tenant = Tenant(kafka, tmp_path, unique("relp"), [{"name": "siem", "to": to}])
    with receiving(receiver):
        for first in (0, 500):
            tenant.write(map(record, range(first, first + 500)))
            with delivering(tenant.config):
                wait_for(lambda: len(receiver.values()) > first, "the first records")  # noqa: B023
        with delivering(tenant.config) as made:
            wait_until_delivered(made, receiver.values, 1000)
    assert whole_and_in_order(receiver.values(), 1000) == 0
