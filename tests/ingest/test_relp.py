"""RELP over real sockets and a real broker: 200 means that Kafka has the message."""

import asyncio
import base64
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition

from app.broker import ports
from app.broker.server import EmbeddedKafka
from tests.ingest.peers import rsyslog, wait_for
from tests.ingest.rig import listener, make_agent, read_all, read_topic, run, until, values
from tests.ingest.test_framing import shared_vectors

pytestmark = pytest.mark.broker

OFFER = b"relp_version=0\nrelp_software=t\ncommands=syslog"
OPEN = b"1 open %d %b\n" % (len(OFFER), OFFER)
SHARE = 15_000
"""Lines for each kill: many times what is under way at once."""
FRAME = re.compile(rb"([0-9]+) ([a-z]+) ([0-9]+)")


def frames(data: bytes, *, so_far: bool = False) -> list[list[Any]]:
    """A server's answers as [txnr, command, code]; `so_far`: the last may be cut."""
    found = []
    while head := FRAME.match(data):
        size = int(head[3])
        length = head.end() + (1 + size if size else 0) + 1
        if len(data) < length:
            break
        text = data[head.end() + 1 : head.end() + 1 + size] if size else b""
        found.append([int(head[1]), head[2].decode(), text[:3].decode()])
        data = data[length:]
    assert so_far or not data, data[:60]
    return found


async def talk(
    address: tuple[str, int], data: bytes, *, answers: int | None = None
) -> tuple[bytes, bool]:
    """Send bytes at once; what comes until the server closes, and if it closed.

    With `answers` it need not close: they are waited for, and a moment longer for one too many.
    """
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    got = b""
    closed = False
    while not closed:
        due = answers is None or len(frames(got, so_far=True)) < answers
        try:
            part = await asyncio.wait_for(reader.read(65_536), 60 if due else 0.3)
        except TimeoutError:
            break
        got += part
        closed = not part
    writer.close()
    return got, closed


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of three partitions."""
    return create_topic("raw.relp", partitions=3).removeprefix("raw.")


def test_relp_vectors(kafka: EmbeddedKafka, create_topic: Callable[..., str]) -> None:
    """Every relp vector, as measured with librelp: answers, end of the session, messages."""
    found = [each for each in shared_vectors() if each["format"] == "relp"]
    if not found:
        pytest.skip("syslog_vectors.jsonl is not there: set NORTHBOUND_DATA to its folder")
    source = create_topic("raw.vectors").removeprefix("raw.")
    failed = []
    wanted: Counter[bytes] = Counter()

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, protocol="relp"))
        await agent.start()

        async def check(vector: dict[str, Any]) -> None:
            data = base64.b64decode(vector["input_b64"])
            expect = vector["expect"]
            answers = None if expect["server_closes"] else len(expect["server_frames"])
            got, closed = await talk(agent.listeners[0].address, data, answers=answers)
            wanted.update(base64.b64decode(each) for each in expect["messages_b64"])
            seen = (frames(got), closed)
            if seen != (expect["server_frames"], expect["server_closes"]):
                failed.append((vector["id"], vector["tier"], seen))

        await asyncio.gather(*map(check, found))
        await agent.stop()

    run(work())
    assert [each for each in failed if each[1] != "may"] == []
    assert Counter(values(read_topic(kafka.bootstrap, f"raw.{source}", wanted.total()))) == wanted


def test_a_conversation_cut_at_every_byte(
    kafka: EmbeddedKafka, create_topic: Callable[..., str]
) -> None:
    """Wherever a connection breaks off: what was answered with 200 is in Kafka, nothing else is."""
    source = create_topic("raw.cut").removeprefix("raw.")
    texts = [b"<13>one", b"<13>two\nlines", b"", b"<13>four"]
    wire = OPEN + b"".join(
        b"%d syslog %d%b\n" % (n, len(text), b" " + text if text else b"")
        for n, text in enumerate(texts, 2)
    )
    wire += b"6 close 0\n"
    complete = Counter[bytes]()
    acked = 0

    async def work() -> None:
        nonlocal acked
        agent = make_agent(kafka.bootstrap, listener(source, protocol="relp"))
        await agent.start()
        address = agent.listeners[0].address
        for cut in range(len(wire)):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(wire[:cut])
            writer.write_eof()
            answers = frames(await asyncio.wait_for(reader.read(), 60))
            writer.close()
            good = [txnr for txnr, _, code in answers if code == "200" and txnr > 1]
            assert good == list(range(2, 2 + len(good)))
            complete.update(text for text in texts[: len(good)] if text)
            acked += len(good)
        await until(lambda: agent.ledgers()[0].connections == 0, "the end of all")
        assert agent.ledgers()[0].connections_refused == 0
        assert await agent.stop() == 0
        assert agent.ledgers()[0].balanced

    run(work())
    assert acked > 100
    assert (
        Counter(values(read_topic(kafka.bootstrap, f"raw.{source}", complete.total()))) == complete
    )


def test_malformed_conversations_end_alone(kafka: EmbeddedKafka, source: str) -> None:
    """A fault ends that connection with a counter by reason; another one goes on."""

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, protocol="relp"))
        await agent.start()
        address = agent.listeners[0].address
        reader, writer = await asyncio.open_connection(*address)
        writer.write(OPEN)
        await reader.readuntil(b"syslog\n")
        for bad in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", OPEN + b"5 syslog 1 x\n"):
            got, closed = await talk(address, bad)
            assert got.endswith(b"0 serverclose 0\n")
            assert closed
        writer.write(b"2 syslog 4 good\n")
        assert await asyncio.wait_for(reader.readline(), 60) == b"2 rsp 6 200 OK\n"
        assert agent.ledgers()[0].faults == {"relp": 3}
        writer.close()
        await agent.stop()

    run(work())
    assert values(read_topic(kafka.bootstrap, f"raw.{source}", 1)) == [b"good"]


def test_no_answer_without_kafka(make_kafka: Callable[..., EmbeddedKafka]) -> None:
    """While the broker stands still nothing is answered; when it goes on, all is, in order.

    The agent ends with serverclose, so that a sender connects elsewhere.
    """
    from tests.ingest.test_backpressure import with_topic

    kafka = with_topic(make_kafka(), partitions=2)
    lines = [b"<13>line %d" % n for n in range(2_000)]
    wire = b"".join(b"%d syslog %d %b\n" % (n, len(text), text) for n, text in enumerate(lines, 2))

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener("nas", protocol="relp"))
        await agent.start()
        await until(lambda: agent.ready, "readiness")
        reader, writer = await asyncio.open_connection(*agent.listeners[0].address)
        writer.write(OPEN)
        await reader.readuntil(b"syslog\n")
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            writer.write(wire)
            await until(lambda: agent.ledgers()[0].received == len(lines), "the lines")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 2.0)
            await until(lambda: not agent.ready, "readiness to go red")
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        for n in range(2, 2 + len(lines)):
            assert await asyncio.wait_for(reader.readline(), 60) == b"%d rsp 6 200 OK\n" % n
        assert await agent.stop() == 0
        assert await reader.read() == b"0 serverclose 0\n"

    run(work())
    assert values(read_topic(kafka.bootstrap, "raw.nas", len(lines))) == lines


def test_what_kafka_refuses_is_answered_with_500(
    kafka: EmbeddedKafka, create_topic: Callable[..., str]
) -> None:
    """One message of a burst is too large for the topic: it alone gets 500, and is counted."""
    source = create_topic("raw.small", max_message_bytes="2000").removeprefix("raw.")
    texts = [b"<13>%d" % n for n in range(50)]
    texts[20] = os.urandom(2_500).hex().encode()

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, protocol="relp"), linger_ms=0)
        await agent.start()
        wire = OPEN + b"".join(
            b"%d syslog %d %b\n" % (n, len(text), text) for n, text in enumerate(texts, 2)
        )
        got, _ = await talk(agent.listeners[0].address, wire, answers=1 + len(texts))
        codes = {txnr: code for txnr, _, code in frames(got)[1:]}
        ledger = agent.ledgers()[0]
        refused = [txnr for txnr, code in codes.items() if code != "200"]
        # A broker refuses a whole produce request, so that neighbours may share the fate.
        assert 22 in refused
        assert ledger.refused.total() == len(refused)
        assert len(codes) == len(texts)
        assert ledger.balanced
        await agent.stop()

    run(work())


@pytest.mark.parametrize("window", [128, 2_000])
def test_rsyslog_omrelp(kafka: EmbeddedKafka, source: str, tmp_path: Path, window: int) -> None:
    """A real rsyslog delivers all it has, in order, at its default window of 128 and at 2,000."""
    lines = [b"<13>Oct 11 22:14:15 host app: message %06d" % n for n in range(4 * window)]

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, protocol="relp"))
        await agent.start()
        host, port = agent.listeners[0].address
        action = f'type="omrelp" target="{host}" port="{port}" windowSize="{window}"'

        def client() -> None:
            with rsyslog(tmp_path, action) as send:
                send(lines)
                wait_for(lambda: agent.listeners[0].ledger.received >= len(lines), "all lines")
                wait_for(lambda: agent.listeners[0].in_flight == 0, "acknowledgements")

        await asyncio.to_thread(client)
        assert await agent.stop() == 0
        ledger = agent.ledgers()[0]
        assert (ledger.published, ledger.connections_refused) == (len(lines), 0)

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", len(lines))
    assert values(found) == lines


@pytest.mark.kill
def test_relp_agent_kill(kafka: EmbeddedKafka, source: str, tmp_path: Path) -> None:
    """Kill -9 of the agent under an omrelp sender: nothing is missing after a restart.

    NORTHBOUND_KILLS times; duplicates are allowed by the protocol, losses are not.
    """
    kills = min(int(os.environ.get("NORTHBOUND_KILLS", "2")), 20)
    lines = [b"<13>Oct 11 22:14:15 host app: number %07d" % n for n in range(SHARE * kills)]
    port = ports.free("127.0.0.1")
    file = tmp_path / "northbound.yaml"
    content = {
        "version": 1,
        "kafka": {"external": {"bootstrap": kafka.bootstrap, "replication": 1}},
        "sources": {source: {"format": "qumulo", "partitions": 3}},
        "listeners": [{"protocol": "relp", "listen": f"127.0.0.1:{port}", "source": source}],
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    argv = [
        sys.executable,
        "-c",
        "from app.cli import main; main()",
        "ingest",
        "--config",
        str(file),
    ]

    def agent() -> subprocess.Popen[bytes]:
        with (tmp_path / "agent.log").open("ab") as out:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
            return subprocess.Popen(argv, stderr=out, env=environment)

    def published() -> int:
        """By Kafka: the status file is a second late, and the kill is to be amid the lines."""
        raw = (TopicPartition(f"raw.{source}", number) for number in range(3))
        return sum(consumer.get_watermark_offsets(each, timeout=30)[1] for each in raw)

    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "ends"})
    process = agent()
    action = f'type="omrelp" target="127.0.0.1" port="{port}" windowSize="1000" timeout="20"'
    try:
        with rsyslog(tmp_path / "rsyslog", action) as send:
            for kill in range(kills):
                before = published()
                send(lines[kill * SHARE : (kill + 1) * SHARE])
                wait_for(lambda: published() > before + 1_000, "some lines")  # noqa: B023
                process.send_signal(signal.SIGKILL)
                process.wait()
                process = agent()
            found = set(values(read_all(kafka.bootstrap, f"raw.{source}", lines))) - {None}  # ticks
    finally:
        process.kill()
        process.wait()
        consumer.close()
    assert set(lines) - found == set()
    assert found - set(lines) == set()
