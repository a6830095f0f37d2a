"""The systems that run a job, each as one process, from the same raw topic to its own topics."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
import polars as pl
import yaml

from app.broker import admin
from app.broker.java import find_java
from app.config import DEFAULT_PATH, load
from app.planning import build_plan, declared
from bench.measure import reap
from bench.peers.build import build
from topology.topics import Feeds, Names, RawTopic, declare

TENANT = "bench"
SOURCE = "bench"
PARTITIONS = 2
STOP_S = 60.0
LOG = "system.log"
JOINS = {
    "assets": ("ip", "src_endpoint.ip", "asset"),
    "departments": ("user", "actor.user.name", "department"),
    "extensions": ("ext", "file.ext", "flagged_extension"),
}
"""Dictionaries that events are joined with: key, attribute, label."""


@dataclass(frozen=True)
class Setup:
    """Where a run happens: topics under `prefix`, scratch files in `folder`."""

    bootstrap: str
    prefix: str
    folder: Path
    dictionaries: Mapping[str, pl.DataFrame]

    @property
    def names(self) -> Names:
        """Both systems use the product's topic names, under different prefixes."""
        return Names(self.prefix)

    def write_dictionaries(self) -> None:
        """Both systems read the same files, as events carry the version of each."""
        for name, frame in self.dictionaries.items():
            text = json.dumps(frame.to_dicts(), ensure_ascii=False)
            (self.folder / f"{name}.json").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Job:
    """What differs from job to job. An alert is (what it is about, time in ms).

    `config` is added to northbound.yaml; `ours` gives None for an alert that is not to be compared.
    `main` is the class of bench/peers/kafka_streams that does the same, `repartition` the name of
    the topic between its sub-topologies, `arguments` what it is told beside topics and folders.
    """

    name: str
    ours: Callable[[Any], tuple[str, int] | None]
    main: str
    repartition: str
    theirs: Callable[[Any], tuple[str, int]]
    config: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


class System(Protocol):
    """One way to run a job."""

    name: str

    def group(self, setup: Setup) -> str:
        """The consumer group that reads the raw topic."""

    def hop(self, setup: Setup) -> tuple[str, str]:
        """The consumer group of its second sub-topology, and the topic that this reads."""

    def prepare(self, setup: Setup) -> None:
        """Make its files and the topics that it reads and writes."""

    def command(self, setup: Setup) -> tuple[list[str], dict[str, str]]:
        """The one process that runs the job and what is added to its environment."""

    def alert(self, value: bytes) -> tuple[str, int] | None:
        """What an alert says, or None when it does not count."""


class Northbound:
    """The product's own worker, started from a northbound.yaml."""

    name: str = "northbound"

    def __init__(self, job: Job, rules: Path | None = None) -> None:
        """`rules`: a folder of rules to run instead of what the job asks for."""
        self._job = job
        self._rules = {} if rules is None else {"rules": [str(rules)]}

    def group(self, setup: Setup) -> str:
        return setup.names.group("events")

    def hop(self, setup: Setup) -> tuple[str, str]:
        return setup.names.group("alerts"), setup.names.matches

    def prepare(self, setup: Setup) -> None:
        setup.write_dictionaries()
        path = setup.folder / DEFAULT_PATH
        path.write_text(yaml.safe_dump(self.config(setup), sort_keys=False), encoding="utf-8")
        config = load(path)
        topics = declared(config, build_plan(config, origins={}))
        admin.ensure(admin.connect(config.client()), topics, config.replication)

    def command(self, setup: Setup) -> tuple[list[str], dict[str, str]]:
        config = setup.folder / DEFAULT_PATH
        program = Path(sys.executable).with_name("faust")
        return [str(program), "-A", "app.worker", "worker"], {"NORTHBOUND_CONFIG": str(config)}

    def alert(self, value: bytes) -> tuple[str, int] | None:
        return self._job.ours(orjson.loads(value))

    def config(self, setup: Setup) -> dict[str, Any]:
        """Its northbound.yaml."""

        def join(name: str) -> dict[str, str]:
            key, attribute, label = JOINS[name]
            path = str(setup.folder / f"{name}.json")
            return {"dictionary": path, "key": key, "field": attribute, "as": label}

        return {
            "version": 1,
            "kafka": {
                "external": {"bootstrap": setup.bootstrap, "replication": 1},
                "topic_prefix": setup.prefix,
                "matches_partitions": PARTITIONS,
            },
            "sources": {SOURCE: {"format": "qumulo", "partitions": PARTITIONS}},
            "enrich": [join(name) for name in setup.dictionaries],
            "tenants": {
                TENANT: {
                    "sources": [SOURCE],
                    "key": "user",
                    "partitions": PARTITIONS,
                    "raw_data": False,
                }
            },
            "workers": {"count": 1, "state": str(setup.folder / "state")},
            **self._job.config,
            **self._rules,
        }


class KafkaStreams:
    """bench/peers/kafka_streams: exactly_once_v2, two stream threads, else Kafka's defaults."""

    name = "kafka-streams-eos"

    def __init__(self, job: Job) -> None:
        self._job = job

    def group(self, setup: Setup) -> str:
        return f"{setup.prefix}{self._job.name}"

    def hop(self, setup: Setup) -> tuple[str, str]:
        group = self.group(setup)
        return group, f"{group}-{self._job.repartition}-repartition"

    def prepare(self, setup: Setup) -> None:
        setup.write_dictionaries()
        names = setup.names
        used = {names.raw(SOURCE), names.events(TENANT), names.alerts(TENANT)}
        topics = declare(
            names, [RawTopic(SOURCE, PARTITIONS)], [Feeds(TENANT, partitions=PARTITIONS)], []
        )
        client = admin.connect({"bootstrap.servers": setup.bootstrap})
        admin.ensure(client, [topic for topic in topics if topic.name in used], replication=1)

    def command(self, setup: Setup) -> tuple[list[str], dict[str, str]]:
        command = [
            str(find_java().program),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            ":".join(map(str, build("kafka_streams"))),
            self._job.main,
            setup.bootstrap,
            self.group(setup),
            setup.names.raw(SOURCE),
            setup.names.events(TENANT),
            setup.names.alerts(TENANT),
            str(setup.folder),
            str(setup.folder / "state"),
            *self._job.arguments,
        ]
        return command, {}

    def alert(self, value: bytes) -> tuple[str, int] | None:
        return self._job.theirs(orjson.loads(value))


def start(system: System, setup: Setup) -> subprocess.Popen[bytes]:
    """Start a prepared system; what it prints goes to system.log in its folder."""
    command, environment = system.command(setup)
    with (setup.folder / LOG).open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )


def running(process: subprocess.Popen[bytes], setup: Setup) -> None:
    """Raise RuntimeError, with the end of its log, when a system has ended by itself."""
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is not None:
        raise RuntimeError(f"{process.args!r} ended with {ended.si_status}:\n{_log(setup)}")


def stop(process: subprocess.Popen[bytes], setup: Setup) -> float:
    """End a system by SIGTERM: the CPU seconds of its whole life. Raises if it failed.

    Not by Popen's own methods: they would reap the process before its usage is read.
    """
    os.kill(process.pid, signal.SIGTERM)
    status, cpu = reap(process.pid, STOP_S)
    process.returncode = status
    # A JVM that a signal stops in good order still ends with 128 + 15.
    if status not in {0, 128 + signal.SIGTERM, -signal.SIGTERM}:
        raise RuntimeError(f"{process.args!r} ended with status {status}:\n{_log(setup)}")
    return cpu


def _log(setup: Setup) -> str:
    """The end of what a system printed."""
    return (setup.folder / LOG).read_text(encoding="utf-8", errors="replace")[-3000:]
