"""The demo, step by step: the whole path on real parts, and the books that have to balance."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
import yaml
from confluent_kafka import Consumer, TopicPartition

from app import bundles
from app.broker import admin, ports
from app.config import Config, load
from app.demo.conservation import Final, Outcomes, Row, conservation, detection
from app.demo.reader import digest
from app.demo.stream import Stream
from app.demo.view import Figures, View
from app.deployment import Deployment
from app.lag import lags
from app.reading import open_reader, read
from app.status import WORKER_FILE, read_status
from schemas.codec import decode
from topology.uid import origin, record_uid

REPOSITORY = Path(__file__).parents[2]
TENANT, OTHER = "acme", "globex"
SOURCE = "qumulo"
PARTITIONS = 6
"""With six the three clusters' addresses fall into partitions of their own."""
QUIET_S = 10
"""After so many seconds without a line a partition gets its tick, which closes the windows."""
SETTLE_S = 90.0
SPAN_MS = 10 * 60_000
AGE_MS = 45 * 60_000
"""The stream is of the past, so that ticks at the present close every window at once."""


class DemoError(RuntimeError):
    """The demo cannot go on; the message says what was seen."""


@dataclass(slots=True)
class Tour:
    """One run in a folder of its own. `say` prints a line for a person."""

    folder: Path
    seed: int
    lines: int
    rate: int
    view: Callable[[int], View]
    say: Callable[[str], None]
    start_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000 - AGE_MS)
    deployment: Deployment | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    finals: list[Final] = field(default_factory=list)
    refused: int = 0

    def run(self) -> list[Row]:
        """Everything up to the table. Raises DemoError or what Deployment raises."""
        stream = Stream(self.seed, self.lines, self.start_ms, self.start_ms + SPAN_MS)
        config = self._prepare(stream)
        self.deployment = Deployment(self.folder / "northbound.yaml", config, self.say)
        self.deployment.start()
        self._bundles(config)
        self.say(f"{OTHER}'s consumer tries {TENANT}'s topics and group")
        self._isolation(config)
        reader = self._spawn("reader", *self._reader_argv())
        alerts_file = self.folder / "alerts.ndjson"
        consumer = self._spawn("consumer", *self._consumer_argv(), out=alerts_file)
        with self.view(stream.expected.lines) as view, alerts_file.open("rb") as alerts:
            sender = self._spawn("sender", *self._sender_argv(config))
            self._watch(config, view, alerts, sender)
            self._settle(config, view, alerts)
        for process in (reader, consumer):
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        return self._rows(config, stream)

    def stop(self) -> None:
        """End the demo's own processes, then the deployment."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(30)
        if self.deployment is not None:
            self.deployment.stop()

    # -- set-up --------------------------------------------------------------------------------

    def _prepare(self, stream: Stream) -> Config:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        stream.write_dictionaries(self.folder)
        northbound, internal, syslog = (ports.free("127.0.0.1") for _ in range(3))
        content = {
            "version": 1,
            "kafka": {
                "embedded": {
                    "data": "data",
                    "internal": f"127.0.0.1:{internal}",
                    "northbound": {
                        "listen": f"127.0.0.1:{northbound}",
                        "advertise": f"localhost:{northbound}",
                    },
                }
            },
            "sources": {
                SOURCE: {"format": "qumulo", "partitions": PARTITIONS, "tick": f"{QUIET_S}s"}
            },
            "listeners": [{"protocol": "tcp", "listen": f"127.0.0.1:{syslog}", "source": SOURCE}],
            "enrich": [
                {
                    "dictionary": "assets.csv",
                    "key": "ip",
                    "field": "src_endpoint.ip",
                    "as": "asset",
                },
                {
                    "dictionary": "departments.csv",
                    "key": "user",
                    "field": "actor.user.name",
                    "as": "department",
                },
            ],
            "rules": [str(REPOSITORY / "rules" / "qumulo")],
            "tenants": {
                TENANT: {"sources": [SOURCE]},
                OTHER: {"sources": [SOURCE], "feeds": ["alerts"]},
            },
            "workers": {"count": 2},
        }
        file = self.folder / "northbound.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load(file)

    def _bundles(self, config: Config) -> None:
        for tenant in (TENANT, OTHER):
            bundles.write(config, tenant, self.folder / "bundles" / tenant)

    def _isolation(self, config: Config) -> None:
        """The other tenant's bundle on the first one's topics and group; each try is refused."""
        names = config.names
        tries = [
            ["--topic", names.alerts(TENANT)],
            ["--topic", names.events(TENANT)],
            ["--topic", "alerts", "--group", f"{names.prefix}{TENANT}.siem"],
        ]
        for options in tries:
            argv = [sys.executable, str(self._bundle(OTHER) / "consumer.py"), *options]
            done = subprocess.run(argv, capture_output=True, timeout=60, check=False, text=True)
            last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            self.say(f"  {' '.join(options)}: {last}")
            self.refused += done.returncode == 1 and "Refused" in last

    def _bundle(self, tenant: str) -> Path:
        return self.folder / "bundles" / tenant

    def _reader_argv(self) -> list[str]:
        out = self.folder / "reader"
        out.mkdir()
        return ["-m", "app.demo.reader", str(self._bundle(TENANT)), "events", str(out)]

    def _consumer_argv(self) -> list[str]:
        return [str(self._bundle(TENANT) / "consumer.py"), "--topic", "alerts", "--group", "soc"]

    def _sender_argv(self, config: Config) -> list[str]:
        port = config.listeners[0].listen.rpartition(":")[2]
        options = {
            "seed": self.seed,
            "lines": self.lines,
            "start-ms": self.start_ms,
            "end-ms": self.start_ms + SPAN_MS,
            "port": port,
            "rate": self.rate,
        }
        return ["-m", "app.demo.sender", *(f"--{key}={value}" for key, value in options.items())]

    def _spawn(self, name: str, *argv: str, out: Path | None = None) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *argv],
            stdout=out.open("wb") if out else log,
            stderr=log,
            start_new_session=True,
            cwd=REPOSITORY,
        )
        self.processes.append(process)
        return process

    # -- while it runs -------------------------------------------------------------------------

    def _watch(
        self, config: Config, view: View, alerts: IO[bytes], sender: subprocess.Popen[bytes]
    ) -> None:
        while sender.poll() is None:
            self._show(config, view, alerts, "sending")
        if sender.returncode != 0:
            log = (self.folder / "sender.log").read_text(encoding="utf-8", errors="replace")
            raise DemoError(f"the sender ended with status {sender.returncode}: {log[-500:]}")

    def _settle(self, config: Config, view: View, alerts: IO[bytes]) -> None:
        """Wait until a tick stands behind the last line everywhere and all of it is worked off."""
        deadline = time.monotonic() + SETTLE_S
        calm = 0
        while calm < 3:  # the consumer outside needs a moment too
            self._show(config, view, alerts, "waiting for ticks to close all windows")
            behind = sum(level.lag or 0 for level in lags(config).values())
            done = self._ticked(config) and behind == 0 and self._consumed(config)
            calm = calm + 1 if done else 0
            if time.monotonic() > deadline:
                raise DemoError(
                    f"after {SETTLE_S:.0f} s {behind} records are still not worked off; the logs "
                    f"in {config.state / 'log'} say why"
                )

    def _ticked(self, config: Config) -> bool:
        """Whether every raw partition that holds lines ends with a tick."""
        topic = config.names.raw(SOURCE)
        consumer = open_reader(config.client())
        try:
            return all(
                _last_is_tick(consumer, TopicPartition(topic, number))
                for number in range(PARTITIONS)
            )
        finally:
            consumer.close()

    def _consumed(self, config: Config) -> bool:
        """Whether the consumer outside has all events that were written."""
        workers = read_status(config.state)
        written = sum(
            engine["counts"].get("events", 0)
            for name, status in workers.items()
            if name.startswith(WORKER_FILE)
            for engine in status.get("engines", [])
        )
        return bool(self._progress().get("count", -1) >= written > 0)

    def _progress(self) -> dict[str, Any]:
        file = self.folder / "reader" / "progress.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def _show(self, config: Config, view: View, alerts: IO[bytes], note: str) -> None:
        if self.deployment is not None:
            self.deployment.check()
        for finding in _lines(alerts):
            view.alert(finding)
            if finding["unmapped"]["state"] == "final":
                group = tuple(str(value) for value in finding["unmapped"].get("group", {}).values())
                self.finals.append(Final(finding["finding_info"]["title"], group))
        status = read_status(config.state)
        listeners = status.get("ingest", {}).get("listeners", [])
        progress = self._progress()
        dead = sum(
            engine["counts"].get("dead_letters", 0)
            for name, item in status.items()
            if name.startswith(WORKER_FILE)
            for engine in item.get("engines", [])
        )
        figures = Figures(
            lines_in=sum(each["received"] for each in listeners),
            events_out=int(progress.get("count", 0)),
            alerts=len(self.finals),
            dead_letters=dead,
            p50=progress.get("p50", 0.0),
            p99=progress.get("p99", 0.0),
        )
        view.show(figures, note)
        time.sleep(0.2)

    # -- the books -----------------------------------------------------------------------------

    def _rows(self, config: Config, stream: Stream) -> list[Row]:
        self.say("Reading every topic back and comparing")
        client, names = config.client(), config.names
        raw_topic = names.raw(SOURCE)
        cluster, ids = admin.identity(admin.connect(client), [raw_topic])
        stem = origin(cluster, ids[raw_topic])
        raw, events, dead = Outcomes(), Outcomes(), Outcomes()
        for message in read(client, [raw_topic]):
            value = message.value()
            if value is not None:
                uid = record_uid(stem, message.partition(), message.offset())
                raw.add(uid, digest(value))
        for line in (self.folder / "reader" / "outcomes.txt").read_text().splitlines():
            events.add(*line.split(" "))
        for message in read(client, [names.dead_letters]):
            _, letter = decode(message.value() or b"")
            dead.add(letter["uid"], digest(letter["raw"]))
        written = sum(1 for _ in read(client, [names.events(TENANT)]))
        expected = stream.expected
        return [
            *conservation(
                sent=expected.lines,
                raw=raw,
                events=events,
                dead=dead,
                filtered=0,
                malformed=expected.malformed,
                written=written,
            ),
            *detection([Final(each.rule, each.group) for each in expected.incidents], self.finals),
            Row(f"{OTHER} refused on {TENANT}'s topics and group", 3, self.refused),
        ]


def _lines(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Complete JSON lines that were appended since the last call."""
    while True:
        at = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(at)
            return
        yield orjson.loads(line)


def _last_is_tick(consumer: Consumer, partition: TopicPartition) -> bool:
    low, high = consumer.get_watermark_offsets(partition, timeout=15)
    if high <= low:
        return True
    consumer.assign([TopicPartition(partition.topic, partition.partition, high - 1)])
    message = consumer.poll(15)
    return message is not None and message.error() is None and message.value() is None
