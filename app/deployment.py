"""Everything that northbound.yaml describes, on this host: Kafka, topics, tenants, processes.

`northbound up` and `northbound demo` are two ways to watch the same deployment.
"""

import datetime as dt
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from app import logins
from app.broker import admin, certificates, difference_lines, ports, quotas
from app.broker.brought_certificate import Brought
from app.broker.cluster_error import ClusterError
from app.broker.errors import BrokerError, no_room
from app.broker.server import EmbeddedKafka
from app.config import Config, host_port
from app.lag import lags
from app.planning import build_plan, declared
from app.reading import ReadingError
from app.respond.registry import all_settings
from app.schema_registry.subjects import schema_ids
from app.status import WORKER_FILE, read_status
from app.supervisor import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Child, Supervisor
from app.up_lock import LOCK, owner, try_lock
from topology.plan import Plan

READY_S = 60.0
RENEW_S = 600.0
"""How often certificates are looked at while everything runs."""
DYING_S = 3.0
"""Seconds that a broker which no longer answers may take to end and to say why."""
FULL_BYTES = 32 * 1024
"""A disk with less room than this is full."""
TRIES = 3
POLL_S = 0.1


class DeploymentError(RuntimeError):
    """It cannot start; the message says what to do."""


@dataclass(slots=True)
class Deployment:
    """Starts in the order in which data flows back, stops in the order in which it flows.

    `report` receives one line for each thing of note. `ingest` or `workers` False leaves them to
    other hosts.
    """

    path: Path
    config: Config
    report: Callable[[str], None]
    ingest: bool = True
    workers: bool = True
    kafka: EmbeddedKafka | None = None
    _lock: IO[bytes] | None = None
    _supervisor: Supervisor | None = None
    _renewed: float = 0.0
    """When certificates were last looked at, on the monotonic clock."""
    _restart_at: float = float("-inf")
    """No earlier Kafka is started again, on the same clock."""
    _pause: float = FIRST_PAUSE

    def start(self, stopping: threading.Event | None = None) -> None:
        """Bring everything up and wait until it works, or until `stopping` is set.

        Raises ConfigError, BrokerError, ClusterError or DeploymentError; then nothing is left
        running.
        """
        plan = build_plan(self.config, origins={}, make_key=True)
        if self.workers:
            all_settings(self.config)
        self._lock_state()
        try:
            self._check_ports()
            self._start_kafka()
            self._apply(plan)
            self._start_processes()
            self._wait_ready(stopping or threading.Event())
        except ClusterError as error:
            failure = self._broker_failure()
            self.stop()
            if failure is not None:
                raise BrokerError(failure) from error
            raise
        except OSError as error:
            reason = self._unwritable(error)
            self.stop()
            raise reason from error
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Restart what has ended. Call this about once a second."""
        if self._supervisor is not None:
            full = self._full_disk() if self._supervisor.ended() else None
            if full is not None:
                self.report(full)
            self._supervisor.check()
        failure = self.kafka.failure() if self.kafka is not None else None
        if self.kafka is not None and failure is not None:
            self._restart(self.kafka, failure)
        if self.kafka is not None and time.monotonic() > self._renewed + RENEW_S:
            self._renew(self.kafka)

    def _restart(self, kafka: EmbeddedKafka, failure: str) -> None:
        """What has ended of Kafka; meanwhile everything else goes on, and waits for it."""
        now = time.monotonic()
        if now < self._restart_at:
            return
        if now - self._restart_at > STEADY:
            self._pause = FIRST_PAUSE
        self.report(f"Kafka ended ({failure}); starting it again")
        try:
            kafka.relaunch()
        except BrokerError as error:
            self.report(f"Kafka cannot be started: {error} Trying again in {self._pause:.1f} s.")
        self._restart_at = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _renew(self, kafka: EmbeddedKafka) -> None:
        """The broker's certificate before it ends; what is wrong is told, and tried again."""
        self._renewed = time.monotonic()
        try:
            if kafka.renew():
                self.report("Kafka has a new certificate; consumers stay connected")
        except (BrokerError, ClusterError) as error:
            self.report(f"Kafka's certificate cannot be renewed: {error}")

    def stop(self) -> None:
        """Stop the agent, the workers and Kafka, each after what it holds is safe."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        if self.kafka is not None:
            self.kafka.stop()
            self.kafka = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def client(self) -> dict[str, Any]:
        """librdkafka configuration of the internal listener."""
        return self.config.client()

    def _lock_state(self) -> None:
        state = self.config.state
        try:
            state.mkdir(parents=True, exist_ok=True)
            self._lock = (state / LOCK).open("ab+", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from None
        if not try_lock(self._lock):
            self._lock.close()
            self._lock = None
            raise DeploymentError(
                f"{self.path} is up already (process {owner(state)}); `northbound status` shows "
                "it, `northbound down` stops it"
            )
        try:
            self._lock.truncate(0)
            self._lock.write(b"%d" % os.getpid())
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise self._unwritable(error) from None

    def _check_ports(self) -> None:
        for (section, number), listener in self.config.ports if self.ingest else ():
            if listener.listen.startswith("/"):
                continue
            host, port = host_port(listener.listen)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            kind = socket.SOCK_DGRAM if listener.port_key[0] == "udp" else socket.SOCK_STREAM
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise DeploymentError(
                        f"{section}[{number}]: cannot listen on {listener.listen}: "
                        f"{error.strerror}; stop what uses the port or choose another in "
                        f"{self.path}"
                    ) from None

    def _start_kafka(self) -> None:
        embedded = self.config.kafka.embedded
        if embedded is None:
            return
        own, own_listener = embedded.northbound.tls, embedded.northbound.certificates
        self.report("Starting Apache Kafka")
        self.kafka = EmbeddedKafka(
            self.config.data,
            brokers=embedded.brokers,
            internal=embedded.internal,
            listen=embedded.northbound.listen,
            advertise=embedded.northbound.advertise,
            heap=embedded.heap,
            brought=None
            if own is None
            else Brought(*map(self.config.path, (own.certificate, own.key, own.ca))),
            also=self.config.region_hosts,
            connections_per_address=embedded.northbound.connections_per_address,
            by_certificate=None
            if own_listener is None
            else (own_listener.listen, own_listener.advertise),
            progress=lambda done, total: self.report(f"Fetching Kafka's jars: {done} of {total}"),
        )
        self.kafka.start()
        self._renewed = time.monotonic()
        ends = certificates.ends(self.config.embedded_ca)
        if ends - dt.datetime.now(dt.UTC) < dt.timedelta(days=certificates.WARN_CA_DAYS):
            self.report(
                f"The CA of Kafka's certificate ends on {ends:%Y-%m-%d}: every tenant needs a new "
                "bundle before (docs/operating.md)"
            )

    def _apply(self, plan: Plan) -> None:
        """Topics, users and rights as declared; with manage: false they are only compared."""
        if self.workers:
            schema_ids(self.config)
        client = admin.connect(self.client())
        topics = declared(self.config, plan)
        self._check_left_over(client)
        if self.config.unmanaged:
            for each in difference_lines.told(self.config, client, topics, unseen=False):
                self.report(f"To do by whoever manages the cluster: {each}")
            self._tell_of_logins()
            return
        changes = admin.ensure(client, topics, self.config.replication)
        created = [change.topic for change in changes if change.action == "create"]
        if created:
            self.report(f"Created topics {', '.join(created)}")
        for change in changes:
            if change.action != "create":
                self.report(str(change))
        for tenant in self.config.tenants:
            logins.ensure(self.config, client, tenant)
        self._tell_of_logins()
        quota, how = quotas.of_users(self.config), difference_lines.commands_for(self.config)
        for each in quotas.ensure(self.client(), self.config.names, quota, how):
            self.report(f"To do by whoever manages the cluster: {each}")

    def _tell_of_logins(self) -> None:
        for each in logins.all_told(self.config, dt.datetime.now(dt.UTC)):
            self.report(each)

    def _check_left_over(self, client: Any) -> None:
        """Events between two agents would be lost if one agent went on without them."""
        names = self.config.names
        topics = [
            names.normalized(source)
            for source in self.config.sources
            if "normalized" not in self.config.expose
        ]
        if not topics or not admin.existing(client, topics):
            return
        try:
            levels = lags(self.config)
        except ReadingError as error:
            raise DeploymentError(str(error)) from None
        left = [f"{topic} ({levels[topic].lag})" for topic in topics if levels[topic].lag]
        if left:
            raise DeploymentError(
                "normalized events that no worker has read yet would be lost without `expose: "
                f"[normalized]`: {', '.join(left)}. Put it back into {self.path}, run `northbound "
                "up --no-ingest --no-workers` and `northbound worker --agent events --agent "
                "alerts` until `northbound status` shows lag 0 for them, then take it out"
            )

    def _start_processes(self) -> None:
        self._supervisor = Supervisor(self.report)
        logs = self.config.state / "log"
        environment = {"NORTHBOUND_CONFIG": str(self.path.absolute())}
        here = Path(sys.executable).parent
        if self.ingest and self.config.ingests:
            argv = [str(here / "northbound"), "ingest"]
            self._supervisor.add(Child("ingest agent", argv, logs / "ingest.log", environment))
        for number in range(self.config.workers.count if self.workers else 0):
            argv = [str(here / "faust"), "-A", "app.worker", "worker", "--loglevel", "warn"]
            host, port = self.config.workers.web_host, self.config.workers.web_port
            argv += ["--web-port", str(port + number if port else ports.free(host))]
            log = logs / f"worker-{number}.log"
            self._supervisor.add(Child(f"worker {number}", argv, log, environment))
        if self.workers and (self.config.deliveries or self.config.responses):
            argv = [str(here / "northbound"), "deliver"]
            self._supervisor.add(Child("deliveries", argv, logs / "deliver.log", environment))

    def _wait_ready(self, stopping: threading.Event) -> None:
        deadline = time.monotonic() + READY_S
        wanted = self.config.workers.count if self.workers else 0
        ingest = self.ingest and bool(self.config.ingests)
        parts = [
            name for name, there in (("the ingest agent", ingest), ("the workers", wanted)) if there
        ]
        if parts:
            self.report(f"Starting {' and '.join(parts)}")
        while not stopping.is_set():
            self._give_up_on_failures()
            self.check()
            status = read_status(self.config.state)
            workers = [item for name, item in status.items() if name.startswith(WORKER_FILE)]
            ready = sum(1 for item in workers if item.get("ready"))
            agent = not ingest or status.get("ingest", {}).get("ready", False)
            if ready >= wanted and agent:
                return
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"after {READY_S:.0f} s {ready} of {wanted} workers and "
                    f"{'the' if agent else 'no'} ingest agent are ready; the logs in "
                    f"{self.config.state / 'log'} say why"
                )
            time.sleep(POLL_S)

    def _give_up_on_failures(self) -> None:
        """A process that cannot start will not start the fourth time either."""
        full = self._full_disk() if self._supervisor and self._supervisor.ended() else None
        if full is not None:
            raise DeploymentError(full)
        for child in self._supervisor.children if self._supervisor else ():
            if child.restarts >= TRIES:
                raise DeploymentError(
                    f"{child.name} does not start. Last lines of {child.log}:\n"
                    f"{child.last_lines(10)}"
                )

    def _broker_failure(self) -> str | None:
        """Why the broker has ended, when it has: the reason for what Kafka does not answer."""
        deadline = time.monotonic() + DYING_S
        while self.kafka is not None and time.monotonic() < deadline:
            failure = self.kafka.failure()
            if failure is not None:
                return failure
            time.sleep(POLL_S)
        return None

    def _full_disk(self) -> str | None:
        """What to do about a disk without room, where there is one: of the state or of Kafka."""
        folders = {"workers.state": self.config.state}
        if self.kafka is not None:
            folders["kafka.embedded.data"] = self.config.data
        for setting, folder in folders.items():
            disk = os.statvfs(next(one for one in (folder, *folder.parents) if one.exists()))
            if disk.f_bavail * disk.f_frsize < FULL_BYTES:
                return no_room(folder, setting)
        return None

    def _unwritable(self, error: OSError) -> DeploymentError:
        full = self._full_disk() if error.errno == errno.ENOSPC else None
        if full is not None:
            return DeploymentError(full)
        return DeploymentError(
            f"cannot write {error.filename or self.config.state}: {error.strerror}; free or choose "
            "another workers.state"
        )


__all__ = ["ClusterError", "Deployment", "DeploymentError"]
