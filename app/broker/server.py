"""The embedded Apache Kafka: real KRaft brokers in a data folder, started, resumed and stopped.

Listeners: INTERNAL (plaintext, loopback, super user) for Northbound's own processes, CONTROLLER
(loopback), NORTHBOUND (SASL_SSL with SCRAM) for consumers outside and, where it is configured,
CERTIFICATE (SSL with client certificates) for those that log in by one.
"""

import datetime as dt
import errno
import hashlib
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.broker import (
    brought_certificate,
    certificates,
    class_archive,
    client_issuer,
    cluster,
    jars,
    key_stores,
    ports,
)
from app.broker.brought_certificate import Brought
from app.broker.cluster import Addresses
from app.broker.errors import BrokerError, no_room
from app.broker.java import Java, find_java
from app.broker.node import Node, Tools
from app.broker.ownership import Ownership
from app.broker.private_file import write_private
from app.broker.settings import Endpoints, server_properties

READY_S = 90.0
STOP_S = 60.0  # usually one; writing the class archive takes some more
STOP_ALONE_S = 5.0  # without a quorum
POLL_S = 0.05


class EmbeddedKafka:
    """Brokers of one cluster. Port 0 in an address means a free port, the same at each start.

    `data` holds everything: storage, certificates, logs. Broker n uses the given ports + n. `also`:
    other names under which consumers reach the brokers, for the certificate. `by_certificate`:
    where to listen for tenants with a certificate, and what they are told.
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
        brought: Brought | None = None,
        also: Sequence[str] = (),
        connections_per_address: int | None = None,
        by_certificate: tuple[str, str] | None = None,
    ) -> None:
        self.data = data.absolute()
        self._count = brokers
        self._addresses = Addresses(internal, listen, advertise, by_certificate)
        self._heap = heap
        self._java = java
        self._progress = progress
        self._brought = brought
        self._also = also
        self._connections_per_address = connections_per_address
        self._served = b""
        """Digest of the certificate that the brokers have read."""
        self._endpoints: list[Endpoints] = []
        self._nodes: list[Node] = []
        self._cluster_id = ""
        self._ownership: Ownership | None = None
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
    def by_certificate(self) -> str:
        """Servers of the SSL listener, as advertised; empty where there is none."""
        found = (each.by_certificate for each in self._endpoints)
        return ",".join(each[1] for each in found if each is not None)

    @property
    def ca(self) -> Path:
        """The CA certificate that consumers verify the northbound listener with."""
        return self.data / "tls" / "ca.pem" if self._brought is None else self._brought.ca

    def renew(self) -> bool:
        """Make the certificate anew if it is due, or read the one brought along again, and have the
        brokers take it up while they run; whether there was a new one.

        Connections stay; those made from now on see the new certificate. Raises BrokerError, or
        ClusterError; then the brokers go on with what they have, and the next call tries again.
        """
        certificate = self._certificate(dt.datetime.now(dt.UTC))
        digest = hashlib.sha256(certificate.read_bytes()).digest()
        if digest == self._served:
            return False
        key_stores.reload_certificate(
            {"bootstrap.servers": self.bootstrap},
            [node.number for node in self._nodes if node.pid is not None],
            str(certificate),
            key_stores.KEY_STORES if self.by_certificate else key_stores.KEY_STORES[:1],
        )
        self._served = digest
        return True

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
            self._launch()
            self._wait_ready(time.monotonic() + timeout)
        except OSError as error:
            self.stop()
            raise self._advice(error) from error
        except BaseException:
            self.stop()
            raise

    def relaunch(self) -> None:
        """Start the brokers that have ended, and wait for none: a log that has to be recovered
        takes its time, and the others go on. Raises BrokerError, with what to do."""
        try:
            self._launch()
        except OSError as error:
            raise self._advice(error) from error

    def stop(self) -> None:
        """Stop all brokers and give up the data folder."""
        for left, node in zip(range(self._count - 1, -1, -1), self._nodes, strict=False):
            node.terminate()
            # A controlled shutdown hands partitions over, for which the others must be a quorum;
            # without one it would wait for it.
            handover = self._count == 1 or left > self._count // 2
            node.wait(STOP_S if handover else STOP_ALONE_S)
        if self._ownership is not None:
            self._ownership.release()
            self._ownership = None

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

    def _launch(self) -> None:
        self._prepare()
        for node in self._nodes:
            if node.pid is None:
                node.launch()
        if self._ownership:
            self._ownership.remember(self.pids, self.bootstrap, self.northbound)

    def _prepare(self) -> None:
        """Everything before the processes: ownership, jars, ports, certificates, storage."""
        if self._ownership is None:
            self._ownership = Ownership(self.data)
            self.replaced = self._ownership.stop_orphans()
        if not self._nodes:
            tools = self._tools()
            known = cluster.load(self.data, self._count, self._addresses)
            self._cluster_id, self._endpoints = known.cluster_id, known.nodes
            self._nodes = [
                Node(number, self.data / f"node-{number}", tools) for number in range(self._count)
            ]
        now = dt.datetime.now(dt.UTC)
        certificate = self._certificate(now)
        clients_ca = (
            client_issuer.ensure_ca(self.data / "tls", now) if self.by_certificate else None
        )
        if not self.pids:
            self._served = hashlib.sha256(certificate.read_bytes()).digest()
        for node, own in zip(self._nodes, self._endpoints, strict=True):
            if node.pid is None:
                ports.require(own.internal, "kafka.embedded.internal")
                ports.require(own.listen, "kafka.embedded.northbound.listen")
                if own.by_certificate is not None:
                    key = "kafka.embedded.northbound.certificates.listen"
                    ports.require(own.by_certificate[0], key)
                settings = server_properties(
                    node.number,
                    self._endpoints,
                    node.data,
                    certificate,
                    self._connections_per_address,
                    clients_ca,
                )
                node.write(settings, self._cluster_id)

    def _certificate(self, now: dt.datetime) -> Path:
        """The brokers' key store, as it should be at `now`. Raises BrokerError."""
        told = (each.split(",") for each in (self.northbound, self.by_certificate) if each)
        advertised = (ports.split(each)[0] for addresses in told for each in addresses)
        hosts = list(dict.fromkeys([*advertised, *self._also]))
        folder = self.data / "tls"
        if self._brought is None:
            return certificates.ensure(folder, hosts, now).server
        wanted = brought_certificate.pem(self._brought, hosts, now)
        file = folder / "brought.pem"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.is_file() or file.read_bytes() != wanted:
            write_private(file, wanted)
        return file

    def _tools(self) -> Tools:
        java = self._java or find_java()
        files = jars.class_path(progress=self._progress)
        archive = class_archive.archive_file(jars.cache_folder(), java, files)
        return Tools(java, files, archive, self._heap)

    def _wait_ready(self, deadline: float) -> None:
        """Wait until every listener is open and every broker is in the cluster's metadata."""
        for own in self._endpoints:
            listeners = [own.listen, *(own.by_certificate or ())[:1]]
            outside = [ports.split(each) for each in listeners]
            here = [(ports.reachable(host), port) for host, port in outside]
            for host, number in (ports.split(own.internal), *here):
                while not _open(host, number):
                    self._still(deadline)
                    time.sleep(POLL_S)
        client = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        while True:
            with suppress(KafkaException):
                if len(client.list_topics(timeout=1.0).brokers) == self._count:
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
            return BrokerError(no_room(self.data, "kafka.embedded.data"))
        return BrokerError(
            f"Cannot use {error.filename or self.data}: {error.strerror}. Give this user write "
            "access or choose another kafka.embedded.data."
        )


def _open(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False
