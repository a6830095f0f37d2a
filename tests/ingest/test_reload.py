"""A changed northbound.yaml is taken up without a restart; a mistake changes nothing."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from app.broker import ports
from app.broker.server import EmbeddedKafka
from app.ingest import topics
from app.ingest.topics import IngestError
from tests.ingest.peers import wait_for
from tests.ingest.rig import listener, make_agent, read_topic, run, until, values

pytestmark = pytest.mark.broker


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of one partition."""
    return create_topic("raw.reload").removeprefix("raw.")


def test_listeners_come_and_go(
    kafka: EmbeddedKafka, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One listener stays with its connections, one goes after its lines are out, one comes.

    A listener that cannot be opened leaves the one that was there before.
    """

    async def work() -> None:
        first, second = listener(source), listener(source, limit=100)
        agent = make_agent(kafka.bootstrap, first, second)
        await agent.start()
        _, stays = await asyncio.open_connection(*agent.listeners[0].address)
        reader, goes = await asyncio.open_connection(*agent.listeners[1].address)
        goes.write(b"<13>before it goes\n")
        await goes.drain()
        third = listener(source, protocol="udp")
        before = agent.settings
        await agent.apply(make_agent(kafka.bootstrap, first, third).settings)
        assert await reader.read() == b""
        stays.write(b"<13>still here\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"<13>new", agent.listeners[1].address)
        await until(lambda: sum(each.published for each in agent.ledgers()) == 2, "both")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = listener(source)
            object.__setattr__(busy, "port", taken.getsockname()[1])
            with pytest.raises(IngestError, match="Stop what uses the port"):
                await agent.apply(make_agent(kafka.bootstrap, first, third, busy).settings)
        monkeypatch.setattr(topics, "SETTLE_S", 0.2)
        with pytest.raises(IngestError, match="no topic raw"):
            await agent.apply(make_agent(kafka.bootstrap, listener("nowhere")).settings)
        assert [each.settings for each in agent.listeners] == [first, third]
        assert before != agent.settings
        stays.close()
        assert await agent.stop() == 0

    run(work())
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 3))
    assert sorted(found, key=str) == [b"<13>before it goes", b"<13>new", b"<13>still here"]


def test_sighup_and_file_change(kafka: EmbeddedKafka, source: str, tmp_path: Path) -> None:
    """The process takes up a change of the file by itself, and names a mistake and goes on."""
    file = tmp_path / "northbound.yaml"
    first = ports.free("127.0.0.1", 2)
    both = [first, first + 1]

    def write(*listening: int, **more: Any) -> None:
        content = {
            "version": 1,
            "kafka": {"external": {"bootstrap": kafka.bootstrap, "replication": 1}},
            "sources": {source: {"format": "qumulo", "partitions": 1, "tick": "1h"}},
            "listeners": [
                {"protocol": "tcp", "listen": f"127.0.0.1:{port}", "source": source}
                for port in listening
            ],
            **more,
        }
        fresh = tmp_path / "fresh"
        fresh.write_text(yaml.safe_dump(content), encoding="utf-8")
        fresh.replace(file)

    def listening() -> list[str]:
        try:
            found = orjson.loads((tmp_path / "state" / "ingest.json").read_bytes())
        except (OSError, ValueError):
            return []
        return [each["address"].rpartition(":")[2] for each in found["listeners"]]

    log = tmp_path / "agent.log"
    write(first)
    argv = [sys.executable, "-c", "from app.cli import main; main()", "ingest"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*argv, "--config", str(file)],
            stderr=out,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
    try:
        wait_for(lambda: listening() == [str(first)], "the agent")
        with socket.create_connection(("127.0.0.1", first)) as client:
            write(*both)
            wait_for(lambda: listening() == list(map(str, both)), "the second listener")
            write(*both, listener=[])
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: b"unknown key" in log.read_bytes(), "the complaint")
            assert process.poll() is None
            assert listening() == list(map(str, both))
            write(first)
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: listening() == [str(first)], "the first alone")
            client.sendall(b"<13>all the time\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
    assert values(read_topic(kafka.bootstrap, f"raw.{source}", 1)) == [b"<13>all the time"]
