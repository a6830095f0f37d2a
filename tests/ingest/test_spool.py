"""The disk spool: in order, bounded, exact after kill -9 and torn writes; full means counted."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.broker.server import EmbeddedKafka
from app.ingest.batch import Batch
from app.ingest.spool import Position, Spool
from tests.ingest.peers import wait_for
from tests.ingest.rig import listener, make_agent, read_topic, run, until, values
from tests.ingest.test_backpressure import with_topic

LINES = st.lists(st.binary(max_size=50), min_size=1, max_size=5)


def batch(lines: list[bytes], key: bytes | None = b"peer") -> Batch:
    return Batch(lines, key, "peer", None, 1_700_000_000_000)


def drain(spool: Spool, at_once: int = 3) -> list[bytes]:
    """Everything in the spool, in order."""
    out: list[bytes] = []
    while spool.depth:
        batches, end = spool.read(at_once)
        assert batches
        lines = [line for each in batches for line in each.lines]
        assert {each.timestamp for each in batches} == {1_700_000_000_000}
        spool.commit(end, len(lines))
        out += lines
    return out


@given(
    steps=st.lists(st.one_of(LINES, st.integers(1, 8)), max_size=30),
    segment=st.sampled_from([1, 100, 1 << 20]),
)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[bytes] | int], segment: int
) -> None:
    """Appending, draining and reopening at will keep every line once, in order; depth is true."""
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, 1 << 20, segment)
    sent: list[bytes] = []
    got: list[bytes] = []
    for step in steps:
        if isinstance(step, int):
            if step > 6:
                spool.close()
                spool = Spool(folder, 1 << 20, segment)
                assert spool.recovered == len(sent) - len(got)
                continue
            batches, end = spool.read(step)
            lines = [line for each in batches for line in each.lines]
            if lines:
                spool.commit(end, len(lines))
            got += lines
        else:
            assert spool.append(batch(step))
            sent += step
        assert spool.depth == len(sent) - len(got)
    got += drain(spool)
    assert got == sent
    assert spool.size == 0


def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    """Wherever the last write was cut, what came before is kept, and writing goes on behind it."""
    spool = Spool(tmp_path / "whole", 1 << 20)
    spool.append(batch([b"one", b"two"]))
    spool.append(batch([b"three"]))
    spool.close()
    data = next((tmp_path / "whole").glob("*.spool")).read_bytes()
    second = next(iter(spool._batches(Position(1, 0))))[1]
    for cut in range(len(data)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / f"{1:020d}.spool").write_bytes(data[:cut])
        torn = Spool(folder, 1 << 20)
        kept = torn.depth
        assert kept in (0, 2)
        assert (kept == 2) == (cut >= second)
        torn.append(batch([b"four"]))
        torn.close()
        assert drain(Spool(folder, 1 << 20)) == [*[b"one", b"two", b"three"][:kept], b"four"]


def test_a_full_spool_counts_what_it_drops(tmp_path: Path) -> None:
    """The bound in bytes holds; what does not fit is counted; room made is room again."""
    spool = Spool(tmp_path, 2_000)
    choose = random.Random(1)
    kept = []
    for n in range(100):
        lines = [choose.randbytes(30), b"%d" % n]
        if spool.append(batch(lines)):
            kept += lines
    assert spool.size <= 2_000
    assert sum(each.stat().st_size for each in tmp_path.glob("*.spool")) <= 2_000
    assert spool.depth + spool.dropped == 200
    assert drain(spool) == kept
    assert spool.append(batch([b"again"]))


@pytest.mark.broker
@pytest.mark.kill
def test_kafka_away_udp_spills_and_drains(shaken_kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """UDP goes on while the broker stands still; then all is there once, in order.

    The second listener's spool is too small: its loss is counted, and the books balance.
    """
    kafka = with_topic(shaken_kafka, 2, "spilled")
    lines = [b"<13>line %06d " % n + b"x" * 300 for n in range(20_000)]

    async def work() -> None:
        big = listener("spilled", protocol="udp", spool=tmp_path / "big", spool_bytes=64 << 20)
        small = listener("spilled", protocol="udp", spool=tmp_path / "small", spool_bytes=1 << 20)
        agent = make_agent(kafka.bootstrap, big, small)
        await agent.start()
        await until(lambda: agent.ready, "readiness")

        async def pour(number: int, begin: int, end: int) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(agent.listeners[number].address)
                for first in range(begin, end, 500):
                    for line in lines[first : first + 500]:
                        client.send(line)
                    # Else the kernel drops what a busy machine does not fetch in time.
                    there = first + 500
                    await until(lambda: agent.ledgers()[number].received == there, "a burst")  # noqa: B023

        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            await asyncio.gather(pour(0, 0, 500), pour(1, 0, 500))
            await until(lambda: all(each.stalled for each in agent.listeners), "the stall")
            await asyncio.gather(pour(0, 500, len(lines)), pour(1, 500, len(lines)))
            large, little = agent.ledgers()
            assert large.spooled == len(lines) - 500
            assert (large.dropped, large.balanced) == (0, True)
            assert little.dropped > 10_000
            assert little.balanced
            await until(lambda: not agent.ready, "readiness to go red")
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        await until(lambda: agent.ledgers()[0].published == len(lines), "the drain", 120)
        await until(lambda: agent.ledgers()[1].spooled == agent.ledgers()[1].in_flight == 0, "both")
        assert all(each.balanced for each in agent.ledgers())
        total = sum(each.published for each in agent.ledgers())
        assert await agent.stop() == 0
        found = await asyncio.to_thread(read_topic, kafka.bootstrap, "raw.spilled", total)
        assert len(found) == total
        assert set(values(found)) == set(lines)

    run(work())


@pytest.mark.broker
@pytest.mark.kill
def test_spool_agent_kill(shaken_kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Kafka away, kill -9 of the agent: what was in the spool is in Kafka afterwards, once.

    A stop in order while Kafka is away puts the rest into the spool too and ends with 0.
    """
    kafka = with_topic(shaken_kafka, 1)
    file = tmp_path / "northbound.yaml"
    content = {
        "version": 1,
        "kafka": {"external": {"bootstrap": kafka.bootstrap, "replication": 1}},
        "sources": {"nas": {"format": "qumulo", "partitions": 1, "tick": "1h"}},
        "listeners": [{"protocol": "udp", "listen": "127.0.0.1:0", "source": "nas"}],
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    status = tmp_path / "state" / "ingest.json"
    argv = [sys.executable, "-c", "from app.cli import main; main()", "ingest"]
    argv += ["--config", str(file)]
    lines = [b"<13>number %05d" % n for n in range(3_000)]

    def agent() -> subprocess.Popen[bytes]:
        with (tmp_path / "agent.log").open("ab") as out:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
            return subprocess.Popen(argv, stderr=out, env=environment)

    def ledger() -> dict[str, int]:
        try:
            found = orjson.loads(status.read_bytes())
        except (OSError, ValueError):
            return {}
        return found["listeners"][0] if found["pid"] == process.pid else {}

    def send(part: list[bytes]) -> None:
        host, _, port = str(ledger()["address"]).rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((host, int(port)))
            for line in part:
                client.send(line)
                time.sleep(0.0005)

    process = agent()
    try:
        wait_for(lambda: ledger().get("address"), "the agent")
        send(lines[:500])
        wait_for(lambda: ledger()["published"] == 500, "the first")
        kafka.kill()
        send(lines[500:510])  # these wait in memory until the publisher is known to stall
        wait_for(lambda: ledger()["in_flight"] == 10, "the ten")
        wait_for(lambda: not orjson.loads(status.read_bytes())["ready"], "the stall")
        send(lines[510:2_000])
        wait_for(lambda: ledger()["spooled"] == 1_490, "the spool")
        process.kill()
        process.wait()
        process = agent()
        wait_for(lambda: ledger().get("recovered") == 1_490, "the recovery")
        send(lines[2_000:])
        wait_for(lambda: ledger()["received"] == 1_000, "the rest")
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        kafka.start()
        process = agent()
        wait_for(lambda: ledger().get("published") == 2_490, "the drain", 90)
    finally:
        process.kill()
        process.wait()
    found = values(read_topic(kafka.bootstrap, "raw.nas", 2_990))
    assert found == lines[:500] + lines[510:]
