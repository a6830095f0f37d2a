"""docs/haproxy.cfg with a real HAProxy and two agents: fail-over, addresses, silent checks."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import yaml

from app.broker import ports
from app.broker.server import EmbeddedKafka
from tests.ingest.peers import listens, need, rsyslog, running, wait_for
from tests.ingest.rig import read_all, values

pytestmark = [pytest.mark.broker, pytest.mark.kill]

CONFIG = Path(__file__).parents[2] / "docs" / "haproxy.cfg"
SHARE = 10_000
LINE = b"<13>Oct 11 22:14:15 host app: %s %06d"


class Agent:
    """`northbound ingest` with a TCP and a RELP listener behind a proxy on 127.0.0.1."""

    def __init__(self, folder: Path, bootstrap: str, source: str) -> None:
        self.tcp = ports.free("127.0.0.1", 3)
        self.relp, self.web = self.tcp + 1, self.tcp + 2
        folder.mkdir()
        proxied = {"source": source, "proxy_protocol": ["127.0.0.1"]}
        content = {
            "version": 1,
            "kafka": {"external": {"bootstrap": bootstrap, "replication": 1}},
            "sources": {source: {"format": "rfc5424", "partitions": 3}},
            "listeners": [
                {"protocol": "tcp", "listen": f"127.0.0.1:{self.tcp}", **proxied},
                {"protocol": "relp", "listen": f"127.0.0.1:{self.relp}", **proxied},
            ],
            "ingest": {"web": f"127.0.0.1:{self.web}"},
        }
        (folder / "northbound.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        self.log = folder / "log"
        self._status = folder / "state" / "ingest.json"
        argv = [sys.executable, "-c", "from app.cli import main; main()", "ingest", "--config"]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*argv, str(folder / "northbound.yaml")],
                stderr=out,
                env={**os.environ, "PYTHONPATH": str(CONFIG.parents[1])},
            )

    def published(self, number: int) -> int:
        """Of one listener; 0 before the first status file."""
        try:
            return int(orjson.loads(self._status.read_bytes())["listeners"][number]["published"])
        except (OSError, ValueError):
            return 0

    @property
    def ready(self) -> bool:
        """As the status file says."""
        try:
            return bool(orjson.loads(self._status.read_bytes())["ready"])
        except (OSError, ValueError):
            return False


def adapted(agents: list[Agent], syslog: int, relp: int) -> str:
    """The documented file with this test's addresses, and patience with agents that are there."""
    text = CONFIG.read_text()
    connect = "    timeout connect 2s\n"
    assert connect in text
    text = text.replace(connect, f"{connect}    timeout check 60s\n")
    text = text.replace("0.0.0.0:514", f"127.0.0.1:{syslog}")
    text = text.replace("0.0.0.0:20514", f"127.0.0.1:{relp}")
    for number, agent in enumerate(agents, 1):
        for port, mine in ((5514, agent.tcp), (20514, agent.relp)):
            server = f"server agent-{number} 10.0.0.1{number}:{port}"
            assert server in text
            text = text.replace(server, f"server agent-{number} 127.0.0.1:{mine} port {agent.web}")
    return re.sub(r" port 8514", "", text)


def test_two_agents_behind_haproxy(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], tmp_path: Path
) -> None:
    """Kill -9 of the agent that an omrelp sender uses: it goes on with the other, nothing missing.

    Both framings keep the sender's address; the checks leave no trace in the agents' logs.
    """
    need("haproxy", "rsyslogd")
    source = create_topic("raw.haproxy", partitions=3).removeprefix("raw.")
    agents = [Agent(tmp_path / f"agent-{n}", kafka.bootstrap, source) for n in (1, 2)]
    syslog = ports.free("127.0.0.1", 2)
    relp = syslog + 1
    config = tmp_path / "haproxy.cfg"
    config.write_text(adapted(agents, syslog, relp), encoding="utf-8")
    first = [LINE % (b"relp", n) for n in range(2 * SHARE)]
    framed = [LINE % (b"lf", n) for n in range(100)] + [LINE % (b"octet", n) for n in range(100)]
    try:
        wait_for(lambda: all(agent.ready for agent in agents), "both agents")
        with running(["haproxy", "-f", str(config), "-db"], tmp_path / "haproxy.log"):
            wait_for(lambda: listens(relp), "HAProxy")
            time.sleep(2.0)  # some checks, which must leave no trace
            for wire in (
                b"".join(line + b"\n" for line in framed[:100]),
                b"".join(b"%d %b" % (len(line), line) for line in framed[100:]),
            ):
                address = ("127.0.0.1", syslog)
                with socket.create_connection(address, source_address=("127.0.0.2", 0)) as client:
                    client.sendall(wire)
            wait_for(lambda: sum(agent.published(0) for agent in agents) == 200, "both framings")
            for agent in agents:
                assert b"A connection" not in agent.log.read_bytes()
            action = f'type="omrelp" target="127.0.0.1" port="{relp}" windowSize="1000"'
            with rsyslog(tmp_path / "rsyslog", action) as send:
                send(first[:SHARE])
                wait_for(lambda: any(agent.published(1) for agent in agents), "some lines")
                used = next(agent for agent in agents if agent.published(1))
                used.process.send_signal(signal.SIGKILL)
                send(first[SHARE:])
                other = next(agent for agent in agents if agent is not used)
                messages = read_all(kafka.bootstrap, f"raw.{source}", [*first, *framed])
                found = set(values(messages)) - {None}  # ticks
        assert other.process.poll() is None
    finally:
        for agent in agents:
            agent.process.kill()
            agent.process.wait()
    assert set(first) - found == set()
    assert found == {*first, *framed}
    short = set(framed)
    keys = {message.key() for message in messages if message.value() in short}
    assert keys == {b"127.0.0.2"}
