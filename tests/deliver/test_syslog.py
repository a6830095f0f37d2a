"""Syslog to a real rsyslog that is killed and started again: nothing lost, order kept per key."""

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from app.broker import certificates, ports
from app.broker.server import EmbeddedKafka
from tests.deliver.rig import (
    Rsyslog,
    Tenant,
    committed,
    delivering,
    killed_mid_stream,
    receiving,
    record,
    status_of,
    wait_until_delivered,
    whole_and_in_order,
)
from tests.ingest.peers import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.kill]

ROOT = Path(__file__).parents[2]
TCP = 'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="PORT" ruleset="in")'
TLS = (
    'module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" '
    'StreamDriver.Authmode="anon")\n'
    'input(type="imtcp" address="127.0.0.1" port="PORT" ruleset="in")'
)


def secured(folder: Path) -> tuple[Path, str]:
    """A CA, and what rsyslog is told for a certificate by it."""
    made = certificates.ensure(folder / "tls", ["localhost"], dt.datetime.now(dt.UTC))
    return made.ca, (
        f'DefaultNetstreamDriverCAFile="{made.ca}" DefaultNetstreamDriverCertFile="{made.server}" '
        f'DefaultNetstreamDriverKeyFile="{made.server}"'
    )


@pytest.mark.parametrize("way", ["tcp-octet", "tls-lf"])
def test_receiver_killed(
    way: str, kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """rsyslog is killed with SIGKILL twice while records come: none is lost, a host's stay in
    order, and what arrives is the record behind an RFC 5424 header."""
    ca, head = secured(tmp_path)
    plain = way == "tcp-octet"
    receiver = Rsyslog(tmp_path / "receiver", TCP if plain else TLS, "" if plain else head)
    to = {"type": "syslog", "addresses": [receiver.address]}
    to |= {"framing": "octet"} if plain else {"framing": "lf", "tls": {"ca": str(ca)}}
    tenant = Tenant(kafka, tmp_path, unique("syslog"), [{"name": "siem", "to": to}])
    with receiving(receiver), delivering(tenant.config) as made:
        again = killed_mid_stream(tenant, receiver, made)
        totals = made[0].totals()
        assert totals.failures >= 2
        assert totals.retried >= again
        assert totals.delivered >= tenant.written
        header = rb"<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ northbound - events - \{"
        assert all(re.match(header, line) for line in receiver.lines())


def test_stops_without_repeating(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Ended in order, a delivery waits until the receiver has ended the connection too: after a
    restart nothing comes twice, though the time to hold is long."""
    receiver = Rsyslog(tmp_path / "receiver", TCP)
    to = {"type": "syslog", "addresses": [receiver.address], "hold": "10m"}
    tenant = Tenant(kafka, tmp_path, unique("syslog"), [{"name": "siem", "to": to}])
    with receiving(receiver):
        for first in (0, 500):
            tenant.write(map(record, range(first, first + 500)))
            with delivering(tenant.config):
                wait_for(lambda: len(receiver.values()) >= first + 500, "500 records")  # noqa: B023
        assert whole_and_in_order(receiver.values(), 1000) == 0


def test_wrong_name(kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path) -> None:
    """A receiver whose certificate has another name gets nothing."""
    ca, head = secured(tmp_path)
    receiver = Rsyslog(tmp_path / "receiver", TLS, head)
    tls = {"ca": str(ca), "server_name": "siem.example.com"}
    to = {"type": "syslog", "addresses": [receiver.address], "tls": tls}
    tenant = Tenant(kafka, tmp_path, unique("syslog"), [{"name": "siem", "to": to}])
    tenant.write(map(record, range(10)))
    with receiving(receiver), delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().failures >= 2, "two refusals")
        assert made[0].totals().delivered == 0
    assert receiver.lines() == []


def test_fails_over(kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path) -> None:
    """The first address has everything; once it is killed, the second has all that is left."""
    first, second = (Rsyslog(tmp_path / name, TCP) for name in ("first", "second"))
    to = {"type": "syslog", "addresses": [first.address, second.address]}
    tenant = Tenant(kafka, tmp_path, unique("syslog"), [{"name": "siem", "to": to}])
    with receiving(first, second), delivering(tenant.config) as made:
        with tenant.writing():
            wait_for(lambda: len(first.values()) > 1000, "records at the first")
            assert second.values() == []
            first.kill()
            wait_for(lambda: len(second.values()) > 1000, "records at the second")
        count = tenant.written
        wait_until_delivered(made, lambda: first.values() + second.values(), count)
        assert made[0].totals().connected == second.address
        whole_and_in_order(first.values() + second.values(), count)


def test_balances(kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path) -> None:
    """Each of two addresses has partitions of its own; those of one that is killed go over."""
    both = [Rsyslog(tmp_path / name, TCP) for name in ("first", "second")]
    to = {"type": "syslog", "addresses": [each.address for each in both], "mode": "balance"}
    tenant = Tenant(kafka, tmp_path, unique("syslog"), [{"name": "siem", "to": to}])
    with receiving(*both), delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().connected.count(":") == 2, "two connections")
        wait_for(lambda: sorted(map(len, made[0].shares())) == [2, 2], "two partitions each")
        tenant.write(map(record, range(2000)))
        wait_until_delivered(made, lambda: both[0].values() + both[1].values(), 2000)
        hosts = [{value.split(b",")[0] for value in each.values()} for each in both]
        assert all(hosts)
        assert not hosts[0] & hosts[1]
        both[0].kill()
        tenant.write(map(record, range(2000, 4000)))
        wait_until_delivered(made, lambda: both[0].values() + both[1].values(), 4000)
        whole_and_in_order(both[0].values() + both[1].values(), 4000)


def test_dead_receiver_stalls_nobody(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """`northbound deliver`: while one receiver is away another has everything; kill -9 of the
    process loses nothing; the one that was away then has everything, too."""
    alive, dead = (Rsyslog(tmp_path / name, TCP) for name in ("alive", "dead"))
    web = f"127.0.0.1:{ports.free('127.0.0.1')}"
    tenant = Tenant(
        kafka,
        tmp_path,
        unique("syslog"),
        [
            {"name": each, "to": {"type": "syslog", "addresses": [receiver.address]}}
            for each, receiver in (("alive", alive), ("dead", dead))
        ],
    )
    argv = [sys.executable, "-c", "from app.cli import main; main()", "deliver", "--web", web]
    argv += ["--config", str(tenant.config.home / "northbound.yaml")]

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "deliver.log").open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            return subprocess.Popen(argv, stdout=log, stderr=log, env=environment)

    def told(name: str, what: str) -> object:
        found = status_of(tenant.config).get("deliveries", [])
        return next((each[what] for each in found if each["name"] == name), None)

    process = start()
    try:
        with receiving(alive):
            tenant.write(map(record, range(1000)))
            wait_for(lambda: len(alive.values()) >= 1000, "records at the one that is there")
            process.kill()
            process.wait()
            process = start()
            tenant.write(map(record, range(1000, 2000)))
            wait_for(lambda: len(set(alive.values())) >= 2000, "the rest")
            wait_for(lambda: told("alive", "lag") == 0, "no lag")
            assert told("dead", "delivered") == 0
            with receiving(dead):
                wait_for(lambda: told("dead", "lag") == 0, "no lag of the other")
                whole_and_in_order(alive.values(), 2000)
                whole_and_in_order(dead.values(), 2000)
                page = urllib.request.urlopen(f"http://{web}/metrics").read().decode()
                labels = '{delivery="dead",tenant="acme",type="syslog"}'
                assert f"northbound_delivery_delivered_total{labels} 2000.0" in page
                assert f"northbound_delivery_lag_records{labels} 0.0" in page
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0
            assert sum(committed(tenant.config, "alive").values()) >= 2000
    finally:
        process.kill()
        process.wait()
