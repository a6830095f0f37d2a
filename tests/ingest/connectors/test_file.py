"""The file connector as a process: nothing lost across kill -9, nothing doubled otherwise."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from app.broker.server import EmbeddedKafka
from app.ingest.connectors.file import FileSettings
from app.ingest.topics import IngestError
from tests.ingest.connectors.rig import Agent, compare
from tests.ingest.peers import wait_for
from tests.ingest.rig import make_agent, read_all, read_topic, run, until, values

pytestmark = pytest.mark.broker

LINE = b"<14>1 2026-01-27T14:12:23.9558Z nas-1 qumulo - - - line %08d \xe2\x82\xac"


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of one partition."""
    return create_topic("raw.file").removeprefix("raw.")


class Writer:
    """Appends numbered lines until told to stop, and rotates the file now and then."""

    def __init__(self, path: Path, rotate: str) -> None:
        self.written = 0
        self._path = path
        self._rotate = rotate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        rotated = 0
        while not self._stop.is_set():
            with self._path.open("ab") as out:
                for _ in range(10):
                    text = b"".join(LINE % n + b"\n" for n in self._next(20))
                    out.write(text[:500])  # a line in two pieces
                    out.flush()
                    time.sleep(0.002)
                    out.write(text[500:])
                    out.flush()
            rotated += 1
            if rotated % 5 == 0:
                old = self._path.with_name(f"{self._path.name}.{rotated:04d}")
                if self._rotate == "rename":
                    self._path.rename(old)
                else:
                    shutil.copyfile(self._path, old)
                    os.truncate(self._path, 0)

    def _next(self, count: int) -> range:
        self.written += count
        return range(self.written - count, self.written)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def lines(self) -> Iterator[bytes]:
        """All that were written."""
        return (LINE % n for n in range(self.written))


@pytest.mark.kill
@pytest.mark.parametrize("rotate", ["rename", "copytruncate"])
def test_nothing_is_lost_by_kill_9(
    kafka: EmbeddedKafka, source: str, tmp_path: Path, rotate: str
) -> None:
    """An agent that is killed again and again while the file is written and rotated: every line is
    in the topic; a clean stop and start afterwards adds nothing."""
    path = tmp_path / "audit.log"
    keys = {"type": "file", "paths": [str(path) + "*"], "poll": "50ms"}
    agent = Agent(tmp_path, kafka.bootstrap, source, keys)
    try:
        with Writer(path, rotate) as writer:
            for _ in range(3):
                agent.start()
                before = writer.written
                wait_for(lambda: writer.written > before + 3_000, "lines")  # noqa: B023
                agent.kill()
        agent.start()
        read_all(kafka.bootstrap, f"raw.{source}", writer.lines)
        agent.stop()
        missing, doubled, found = compare(kafka.bootstrap, f"raw.{source}", writer.lines)
        assert missing == 0
        agent.start()
        with path.open("ab") as out:
            out.write(b"the end\n")
        wait_for(lambda: agent.ledgers()[0]["published"], "the last line")
        agent.stop()
        assert values(read_topic(kafka.bootstrap, f"raw.{source}", len(found) + 1)) == [
            *found,
            b"the end",
        ]
        assert doubled < 3 * 10_000, "more than a checkpoint's worth of lines came twice"
    finally:
        agent.end()


@pytest.mark.parametrize("rotate", ["rename", "copytruncate"])
def test_nothing_is_doubled_by_stops(
    kafka: EmbeddedKafka, source: str, tmp_path: Path, rotate: str
) -> None:
    """With clean stops, reloads and rotation every line comes exactly once, in order."""
    path = tmp_path / "audit.log"
    keys = {"type": "file", "paths": ["audit.log*"], "poll": "50ms"}
    agent = Agent(tmp_path, kafka.bootstrap, source, keys)
    try:
        with Writer(path, rotate) as writer:
            for turn in range(2):
                agent.start()
                before = writer.written
                wait_for(lambda: writer.written > before + 2_000, "lines")  # noqa: B023
                agent.configure({**keys, "max_line": 10_000 + turn})
                agent.hang_up()
                before = writer.written
                wait_for(lambda: writer.written > before + 1_000, "lines")  # noqa: B023
                agent.stop()
        agent.start()
        read_topic(kafka.bootstrap, f"raw.{source}", writer.written)
        agent.stop()
        missing, doubled, found = compare(kafka.bootstrap, f"raw.{source}", writer.lines)
        assert (missing, doubled) == (0, 0)
        if rotate == "rename":
            assert found == list(writer.lines)
    finally:
        agent.end()


@pytest.mark.kill
def test_no_place_is_saved_before_kafka_has_it(
    make_kafka: Callable[..., EmbeddedKafka], tmp_path: Path
) -> None:
    """What was read while Kafka did not answer is read again by the next agent."""
    kafka = make_kafka()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic("raw.nas", 1)])["raw.nas"].result(60)
    path = tmp_path / "audit.log"
    keys = {"type": "file", "paths": [str(path)], "poll": "50ms"}
    agent = Agent(tmp_path, kafka.bootstrap, "nas", keys)
    lines = [LINE % n for n in range(2_000)]
    try:
        path.write_bytes(b"\n".join(lines[:1_000]) + b"\n")
        agent.start()
        read_topic(kafka.bootstrap, "raw.nas", 1_000)
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            with path.open("ab") as out:
                out.write(b"\n".join(lines[1_000:]) + b"\n")
            wait_for(lambda: agent.ledgers()[0]["received"] == 2_000, "the rest to be read")
            assert agent.ledgers()[0]["published"] < 2_000
            time.sleep(1.5)  # longer than between two checkpoints
            agent.kill()
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        agent.start()
        missing, _, _ = compare(kafka.bootstrap, "raw.nas", lines)
        assert missing == 0
    finally:
        agent.end()


def test_long_lines_and_bytes(kafka: EmbeddedKafka, source: str, tmp_path: Path) -> None:
    """Exact bytes; lines above the limit are cut by the listeners' rule and counted."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"\xff\xfe one\r\n\nlong " + b"\xe2\x82\xac" * 50 + b"\nlast\nunfinished")

    async def work() -> None:
        settings = FileSettings(
            source=source, paths=(str(path),), folder=tmp_path, limit=100, poll_s=0.02
        )
        agent = make_agent(kafka.bootstrap, ticks={source: 3600.0}, connectors=(settings,))
        await agent.start()
        await until(lambda: agent.ledgers()[0].published == 3, "three lines")
        ledger = agent.ledgers()[0]
        assert (ledger.received, ledger.empty, ledger.oversize) == (3, 1, 1)
        assert (ledger.dropped_bytes, ledger.connections, ledger.balanced) == (55, 1, True)
        again = make_agent(kafka.bootstrap, ticks={source: 3600.0}, connectors=(settings,))
        with pytest.raises(IngestError, match="in use by another agent; stop that one first"):
            await again.start()
        assert await agent.stop() == 0
        (tmp_path / f"file-{source}.json").write_text("{")  # keeps its mode
        with pytest.raises(IngestError, match="is damaged"):
            await again.start()

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", 3)
    long = b"long " + b"\xe2\x82\xac" * 50
    assert values(found) == [b"\xff\xfe one", long[:100], b"last"]
    assert {message.key() for message in found} == {str(path).encode()}
    assert (tmp_path / f"file-{source}.json").stat().st_mode & 0o777 == 0o600
