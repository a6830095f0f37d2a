"""The embedded Apache Kafka: real KRaft brokers in a data folder, started, resumed and stopped.

Listeners: INTERNAL (plaintext, loopback, super user) for Northbound's own processes, CONTROLLER
(loopback), NORTHBOUND (SASL_SSL with SCRAM) for consumers outside.
"""

import base64
import datetime as dt
import errno
import fcntl
import json
import os
import signal
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.broker import certificates, jars, ports
from app.broker.errors import BrokerError
from app.broker.java import Java, find_java
from app.broker.node import Node, Tools, read_json, started_at
from app.broker.settings import Endpoints, server_properties

READY_S = 90.0
STOP_S = 20.0
STOP_ALONE_S = 5.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Running:
    """Broker processes found alive in a data folder, whoever started them."""

    pids: list[int]
    owner: int | None
    internal: str
    northbound: str


def running(data: Path) -> Running | None:
    """The brokers that run in `data`; None when none does."""
    state = read_json(data / "running.json")
    nodes = state.get("nodes")
    pids = [
        int(node["pid"])
        for node in (nodes if isinstance(nodes, list) else [])
        if started_at(int(node["pid"])) == node["started"]
    ]
    if not pids:
        return None
    owner = state.get("owner")
    return Running(
        pids,
        owner if isinstance(owner, int) and started_at(owner) == state.get("since") else None,
        str(state.get("internal")),
        str(state.get("northbound")),
    )


class EmbeddedKafka:
    """Brokers of one cluster. Port 0 in an address means a free port, the same at each start.

    `data` holds everything: storage, certificates, logs. Broker n uses the given ports + n.
    """

    def __init__(
        self,
        data: Path,
        *,
        brokers: int = 1,
        internal: str = "127.0.0.1:0",
        listen: str = "0.0.0.0:9094",
        advertise: str = "localhost:9094",
        heap: str = "1g",
        java: Java | None = None,
        progress: jars.Progress | None = None,
    ) -> None:
        self.data = data.absolute()
        self._count = brokers
        self._addresses = {"internal": internal, "listen": listen, "advertise": advertise}
        self._heap = heap
        self._java = java
        self._progress = progress
        self._endpoints: list[Endpoints] = []
        self._nodes: list[Node] = []
        self._lock: IO[str] | None = None
        self.replaced: list[int] = []
        """Brokers that a killed parent had left and this start has stopped."""

    @property
    def bootstrap(self) -> str:
        """Servers of the internal listener."""
        return ",".join(each.internal for each in self._endpoints)

    @property
    def northbound(self) -> str:
        """Servers of the SASL_SSL listener, as advertised."""
        return ",".join(each.advertise for each in self._endpoints)

    @property
    def ca(self) -> Path:
        """The CA certificate that consumers verify the northbound listener with."""
        return self.data / "tls" / "ca.pem"

    @property
    def pids(self) -> list[int]:
        """Process ids of the brokers that run."""
        return [pid for node in self._nodes if (pid := node.pid) is not None]

    @property
    def pid(self) -> int:
        """Process id of the first broker that runs."""
        if not self.pids:
            raise BrokerError("The Kafka broker does not run.")
        return self.pids[0]

    def start(self, timeout: float = READY_S) -> None:
        """Start all brokers that do not run and wait until each answers.

        Raises BrokerError, with what to do, and leaves nothing running.
        """
        try:
            self._prepare()
            for node in self._nodes:
                if node.pid is None:
                    node.launch()
            self._remember()
            self._wait_ready(time.monotonic() + timeout)
        except OSError as error:
            self.stop()
            raise self._advice(error) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all brokers and give up the data folder."""
        for left, node in zip(range(self._count - 1, -1, -1), self._nodes, strict=False):
            node.terminate()
            # A controlled shutdown hands partitions over, for which the others must be a quorum;
            # without one it would wait for it.
            handover = self._count == 1 or left > self._count // 2
            node.wait(STOP_S if handover else STOP_ALONE_S)
        if self._lock is not None:
            (self.data / "running.json").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def kill(self, number: int = 0) -> None:
        """End broker `number` as a crash would; start() brings it back on the same ports."""
        self._nodes[number].kill()

    def failure(self) -> str | None:
        """Why a broker has ended, as what to do; None while all run."""
        return next((text for node in self._nodes if (text := node.failure())), None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> None:
        if self._lock is None:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = self._own()
            self._replace_orphans()
        if not self._nodes:
            tools = Tools(
                self._java or find_java(), jars.class_path(progress=self._progress), self._heap
            )
            self._nodes = [
                Node(number, self.data / f"node-{number}", tools) for number in range(self._count)
            ]
        cluster = self._cluster()
        hosts = [ports.split(each.advertise)[0] for each in self._endpoints]
        tls = certificates.ensure(self.data / "tls", hosts, dt.datetime.now(dt.UTC))
        for node, own in zip(self._nodes, self._endpoints, strict=True):
            if node.pid is None:
                ports.require(own.internal, "kafka.embedded.internal")
                ports.require(own.controller, "kafka.embedded.data (removes the chosen port)")
                ports.require(own.listen, "kafka.embedded.northbound.listen")
                node.write(
                    server_properties(node.number, self._endpoints, node.data, tls.server), cluster
                )

    def _own(self) -> IO[str]:
        """The lock of the data folder, held while this object's brokers run."""
        lock = (self.data / "lock").open("a", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            owner = read_json(self.data / "running.json").get("owner", "unknown")
            raise BrokerError(
                f"Northbound already runs in {self.data} (process {owner}). Use it (`northbound "
                "status`), stop it (`northbound down`) or choose another kafka.embedded.data."
            ) from None
        return lock

    def _replace_orphans(self) -> None:
        """Stop the brokers of a parent that was killed: nobody watches them, and they are in
        the way."""
        found = running(self.data)
        self.replaced = found.pids if found else []
        deadline = time.monotonic() + STOP_S
        for pid in self.replaced:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in self.replaced:
            since = started_at(pid)
            while since is not None and started_at(pid) == since:
                if time.monotonic() > deadline:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(POLL_S)

    def _cluster(self) -> str:
        """The cluster's id; also fixes the ports. Both are kept in cluster.json."""
        file = self.data / "cluster.json"
        known = read_json(file)
        if known and known.get("brokers") != self._count:
            raise BrokerError(
                f"{self.data} holds a cluster of {known.get('brokers')} broker(s), not "
                f"{self._count}. Set kafka.embedded.brokers back or choose another "
                "kafka.embedded.data."
            )
        cluster = str(known.get("cluster") or new_cluster_id())
        chosen = known.get("ports")
        if not self._endpoints:
            self._endpoints = self._choose(chosen if isinstance(chosen, dict) else {})
            first = self._endpoints[0]
            fixed = {
                "internal": ports.split(first.internal)[1],
                "controller": ports.split(first.controller)[1],
                "listen": ports.split(first.listen)[1],
            }
            content = {"cluster": cluster, "brokers": self._count, "ports": fixed}
            certificates.write_private(file, json.dumps(content).encode())
        return cluster

    def _choose(self, known: dict[str, int]) -> list[Endpoints]:
        def first_port(name: str, host: str, given: int) -> int:
            last = known.get(name, 0)
            usable = last and all(
                ports.refused(host, last + number) is None for number in range(self._count)
            )
            return given or (last if usable else ports.free(host, self._count))

        internal_host, internal = ports.split(self._addresses["internal"])
        listen_host, listen = ports.split(self._addresses["listen"])
        advertise_host, advertise = ports.split(self._addresses["advertise"])
        internal = first_port("internal", internal_host, internal)
        listen = first_port("listen", listen_host, listen)
        controller = first_port("controller", internal_host, 0)
        return [
            Endpoints(
                ports.join(internal_host, internal + number),
                ports.join(internal_host, controller + number),
                ports.join(listen_host, listen + number),
                ports.join(advertise_host, (advertise or listen) + number),
            )
            for number in range(self._count)
        ]

    def _remember(self) -> None:
        state = {
            "owner": os.getpid(),
            "since": started_at(os.getpid()),
            "nodes": [node.identity() for node in self._nodes if node.pid is not None],
            "internal": self.bootstrap,
            "northbound": self.northbound,
        }
        certificates.write_private(self.data / "running.json", json.dumps(state).encode())

    def _wait_ready(self, deadline: float) -> None:
        """Wait until every listener is open and every broker is in the cluster's metadata."""
        for own in self._endpoints:
            listen_host, port = ports.split(own.listen)
            here = ports.reachable(listen_host)
            for host, number in (ports.split(own.internal), (here, port)):
                while not _open(host, number):
                    self._still(deadline)
                    time.sleep(POLL_S)
        admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        while True:
            with suppress(KafkaException):
                if len(admin.list_topics(timeout=1.0).brokers) == self._count:
                    return
            self._still(deadline)

    def _still(self, deadline: float) -> None:
        """Raise BrokerError when a broker has ended or the deadline has passed."""
        failure = self.failure()
        if failure:
            raise BrokerError(failure)
        if time.monotonic() > deadline:
            raise BrokerError(
                f"The Kafka broker did not get ready in time. Its log is {self._nodes[0].log}. If "
                "the machine is only slow, start again: what was done is kept."
            )

    def _advice(self, error: OSError) -> BrokerError:
        if error.errno == errno.ENOSPC:
            return BrokerError(
                f"The disk that holds {self.data} is full. Free some space or set "
                "kafka.embedded.data to a folder on another disk, then start again."
            )
        return BrokerError(
            f"Cannot use {error.filename or self.data}: {error.strerror}. Give this user write "
            "access or choose another kafka.embedded.data."
        )


def new_cluster_id() -> str:
    """A cluster id as Kafka makes them: a random UUID in base64url that starts with no dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _open(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False
