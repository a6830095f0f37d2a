"""docker-compose.yml: what can be told without Docker, and the deployment itself where it is."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from typer.testing import CliRunner

from app import bundles
from app.broker.jars import LOCK, read_lock
from app.broker.settings import Endpoints, server_properties
from app.cli import app
from app.config import load
from app.planning import build_plan
from tests.compose.project import FILE, ROOT, environment, project

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
ADDRESSES = {
    "listeners",
    "advertised.listeners",
    "log.dirs",
    "listener.name.northbound.ssl.keystore.location",
}
REGISTRY = re.compile(r"^[^/]*[.:][^/]*/")


@pytest.fixture
def in_compose(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment that the services run in."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    return environment()


def prepared(folder: Path) -> Path:
    """Run what `prepare` runs, in a folder that stands for /northbound; the brokers' files."""
    for name in ("northbound.yaml", "rules", "examples"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    command = [
        each.replace("/northbound/", f"{folder}/")
        for each in project()["services"]["prepare"]["command"][1:]
    ]
    done = CliRunner().invoke(app, [*command, "--config", str(folder / "northbound.yaml")])
    assert done.exit_code == 0, done.output
    return folder / "brokers"


def properties(file: Path) -> dict[str, str]:
    """A properties file without escapes."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where in the container → what."""
    parts = [each.split(":") for each in service["volumes"]]
    return {part[1]: part[0] for part in parts}


def test_the_sample_runs_embedded_and_on_the_brokers_of_compose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """northbound.yaml is right as it is; with the services' environment it means their brokers."""
    for name in environment():
        monkeypatch.delenv(name, raising=False)
    config = load(ROOT / "northbound.yaml")
    assert config.kafka.embedded is not None
    assert build_plan(config, origins={}).enrichers
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    config = load(ROOT / "northbound.yaml")
    assert config.client()["bootstrap.servers"] == environment()["NORTHBOUND_BOOTSTRAP"]
    assert bundles._servers(config, by_certificate=False) == environment()["NORTHBOUND_ADVERTISE"]
    assert config.replication == len(BROKERS)


def test_every_file_and_variable_is_there() -> None:
    """Mounted and copied files exist, volumes are declared, variables are ones that are read."""
    content = project()
    known = "".join(file.read_text() for file in (ROOT / "app" / "config").glob("*.py"))
    for name, service in content["services"].items():
        for source in mounts(service).values() if "volumes" in service else ():
            there = (ROOT / source).exists() if source[0] == "." else source in content["volumes"]
            assert there, f"{name}: {source}"
        for variable in service["environment"]:
            assert variable == "KAFKA_HEAP_OPTS" or f'"{variable}"' in known, variable
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        words = [word for word in line.split() if not word.startswith("--")]
        if words[:1] == ["COPY"] and "--from=build" not in line:
            for source in words[1:-1]:
                assert (ROOT / source).exists(), source
                allowed = {f"!{source}", f"!{Path(source).parent}/*{Path(source).suffix}"}
                assert allowed & set(ignored), f".dockerignore leaves out {source}"


def test_what_the_agent_keeps_outlives_its_container() -> None:
    """Lines that wait for Kafka, and how far files are read: `docker compose down` keeps them."""
    content, config = project(), load(ROOT / "northbound.yaml")
    where = mounts(content["services"]["ingest"])
    for folder in (config.path(config.ingest.spool), config.state):
        assert where[f"/northbound/{folder.name}"] in content["volumes"]


def test_images_have_plain_names_and_the_locked_version_of_kafka() -> None:
    """No registry is named, and the brokers are the version that the embedded broker has."""
    kafka = next(jar for jar in read_lock(LOCK.read_text()) if jar.artifact == "kafka_2.13")
    services = project()["services"]
    assert {services[name]["image"] for name in BROKERS} == {f"apache/kafka:{kafka.version}"}
    images = [service["image"] for service in services.values()]
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    images += [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert not [image for image in images if REGISTRY.match(image)]


def test_the_brokers_have_the_embedded_brokers_settings(
    tmp_path: Path, in_compose: dict[str, str]
) -> None:
    """What `prepare` writes differs from an embedded cluster's settings in addresses and paths."""
    folder = prepared(tmp_path)
    nodes = [
        Endpoints(f"127.0.0.1:{1 + n}", f"127.0.0.1:{11 + n}", f"0.0.0.0:{21 + n}", f"h:{21 + n}")
        for n in range(len(BROKERS))
    ]
    for number, name in enumerate(BROKERS):
        found = properties(folder / name / "server.properties")
        embedded = server_properties(number, nodes, Path("data"), Path("server.pem"))
        different = {key for key in embedded if found[key] != embedded[key]}
        assert set(found) == set(embedded)
        assert different == ADDRESSES | {"controller.quorum.voters"}
        inside = in_compose["NORTHBOUND_BOOTSTRAP"].split(",")[number]
        outside = in_compose["NORTHBOUND_ADVERTISE"].split(",")[number]
        assert found["advertised.listeners"] == f"INTERNAL://{inside},NORTHBOUND://{outside}"


def test_each_broker_finds_its_files_and_publishes_only_the_consumers_port(
    tmp_path: Path, in_compose: dict[str, str]
) -> None:
    """Paths are inside mounted volumes, names are host names; the internal port stays inside."""
    folder = prepared(tmp_path)
    services = project()["services"]
    for name, inside in zip(BROKERS, in_compose["NORTHBOUND_BOOTSTRAP"].split(","), strict=True):
        found, service = properties(folder / name / "server.properties"), services[name]
        assert service["hostname"] == name == inside.partition(":")[0]
        where = mounts(service)
        assert found["log.dirs"] in where
        certificate = found["listener.name.northbound.ssl.keystore.location"]
        assert certificate == str(folder / name / "server.pem")
        assert where["/northbound/brokers"] == mounts(services["prepare"])["/northbound/brokers"]
        (published,) = service["ports"]
        address, _, port = published.rpartition(":")
        assert f"NORTHBOUND://0.0.0.0:{port}" in found["listeners"]
        assert address.startswith("127.0.0.1:")


def test_prepare_again_keeps_cluster_and_certificate(
    tmp_path: Path, in_compose: dict[str, str]
) -> None:
    """`docker compose up` runs it each time; keys are private and made for the advertised names."""
    folder = prepared(tmp_path)
    files = [folder / "cluster.id", *(folder / name / "server.pem" for name in BROKERS)]
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in files if prepared(tmp_path)] == before
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    server = x509.load_pem_x509_certificates(before[1])[0]
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    advertised = {each.split(":")[0] for each in in_compose["NORTHBOUND_ADVERTISE"].split(",")}
    assert advertised <= set(names.get_values_for_type(x509.DNSName))
    ca = tmp_path / in_compose["NORTHBOUND_CA"]
    assert b"CERTIFICATE" in ca.read_bytes()
    assert not list(folder.rglob("ca.key"))


@pytest.mark.parametrize(
    ("bootstrap", "advertise", "expected"),
    [
        ("a:1,b:1", "x:1", "2 internal addresses"),
        ("a:1,a:2", "x:1,x:2", "host of its own"),
        ("a", "x:1", "NORTHBOUND_BOOTSTRAP: saw 'a', expected host:port"),
        ("a:1", "x", "NORTHBOUND_ADVERTISE: saw 'x', expected host:port"),
        ("a:1", None, "NORTHBOUND_ADVERTISE"),
    ],
)
def test_broker_files_says_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bootstrap: str,
    advertise: str | None,
    expected: str,
) -> None:
    """Addresses that cannot be brokers end the command with one message, and nothing is written."""
    monkeypatch.setenv("NORTHBOUND_BOOTSTRAP", bootstrap)
    monkeypatch.delenv("NORTHBOUND_ADVERTISE", raising=False)
    if advertise is not None:
        monkeypatch.setenv("NORTHBOUND_ADVERTISE", advertise)
    out = tmp_path / "out"
    command = ["broker-files", "--out", str(out), "--config", str(ROOT / "northbound.yaml")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert expected in done.output
    assert not out.exists()


def test_docker_compose_accepts_the_file() -> None:
    """`docker compose config` needs no engine."""
    docker = shutil.which("docker")
    argv = [docker or "docker", "compose", "-f", str(FILE)]
    if (
        not docker
        or subprocess.run([*argv, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no docker compose here")
    done = subprocess.run([*argv, "config", "-q"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
