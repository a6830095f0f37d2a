"""RELP to a real imrelp that is killed and started again: nothing lost, order kept per key."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from app.broker.server import EmbeddedKafka
from app.ingest.relp_session import ACCEPTED, Answer, Session
from tests.deliver.rig import (
    Rsyslog,
    Tenant,
    committed,
    delivering,
    killed_mid_stream,
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
    with receiving(receiver), delivering(tenant.config) as made:
        again = killed_mid_stream(tenant, receiver, made)
        totals = made[0].totals()
        assert totals.failures >= 2
        assert again <= totals.retried <= 2 * window
        assert totals.delivered >= tenant.written


class Picky(threading.Thread):
    """A receiver that answers 500 to each message with "poison" in it, and takes all others."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.taken: list[bytes] = []

    def run(self) -> None:
        """One connection after the other."""
        while True:
            connection, _ = self.server.accept()
            with connection:
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        session = Session()
        while data := connection.recv(65536):
            answers = []
            for step in session.feed(data):
                if isinstance(step, Answer):
                    answers.append(step.data)
                    continue
                for number, line in zip(step.numbers, step.lines, strict=True):
                    poison = b"poison" in line
                    answers.append(number + (b" rsp 5 500 x\n" if poison else ACCEPTED))
                    if not poison:
                        self.taken.append(line[line.index(b"{") :])
            try:
                connection.sendall(b"".join(answers))
            except OSError:
                return


def test_refused(kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path) -> None:
    """A message that the receiver never takes is kept with its answer, and all others come."""
    receiver = Picky()
    receiver.start()
    to = {"type": "relp", "addresses": [receiver.address], "window": 20}
    tenant = Tenant(kafka, tmp_path, unique("relp"), [{"name": "siem", "to": to}])
    poison = b'{"host":"h7","n":7,"text":"poison"}'
    tenant.write([*map(record, range(100)), poison, *map(record, range(100, 200))])
    with delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().lag == 0, "no lag")
        totals = made[0].totals()
        assert (totals.refused, totals.delivered) == (1, 200)
    assert sum(committed(tenant.config, "siem").values()) >= 201
    whole_and_in_order(receiver.taken, 200)
    (kept,) = (tmp_path / "state" / "refused" / "siem.ndjson").read_bytes().splitlines()
    found = orjson.loads(kept)
    assert found["value"].encode() == poison
    assert "500 x" in found["reason"]


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
