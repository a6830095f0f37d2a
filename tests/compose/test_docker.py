"""docker-compose.yml on a Docker engine, through testcontainers."""

import faulthandler
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from testcontainers.compose import DockerCompose

from tests.compose.project import FILE, ROOT
from tests.compose.scenario import exactly_once
from tests.runtime.processes import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.kill]

HEALTHY = {"ingest": 1, "worker": 2}
READY_S = 300.0
COMMAND_S = 120.0


def engine_answers() -> bool:
    try:
        return bool(docker.from_env(timeout=5).ping())
    except DockerException:
        return False


def run(compose: DockerCompose, *arguments: str) -> None:
    """One `docker compose` command, with a deadline."""
    argv = [*compose.compose_command_property, *arguments]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerCompose]:
    """The deployment under a project name of its own: its volumes are removed at the end, and
    nobody else's. Ports 5514 and 9094 to 9096 have to be free."""
    if not engine_answers():
        pytest.skip("no Docker engine answers")
    # Building images may take longer than a hang of any other test; the deadlines below are enough.
    faulthandler.cancel_dump_traceback_later()
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"northbound-test-{secrets.token_hex(4)}")
    for name in ("NORTHBOUND_ADVERTISE", "NORTHBOUND_PUBLISH"):
        monkeypatch.delenv(name, raising=False)
    with DockerCompose(ROOT, compose_file_name=FILE.name, build=True, wait=False) as started:
        yield started


def healthy(compose: DockerCompose) -> bool:
    """Whether agent and workers are ready by their own health checks."""
    found = [each.Service for each in compose.get_containers() if each.Health == "healthy"]
    return all(found.count(service) == count for service, count in HEALTHY.items())


def test_lines_to_events_once_each_although_a_broker_ends(
    compose: DockerCompose, tmp_path: Path
) -> None:
    """Lines sent to the published port reach the bundle's consumer on localhost once each, while
    one of the three brokers is killed and comes back."""
    try:
        wait_for(lambda: healthy(compose), "agent and workers healthy", READY_S)
        bundles = tmp_path / "bundles"
        run(compose, "cp", "setup:/northbound/bundles", str(bundles))
        exactly_once(
            ("127.0.0.1", 5514),
            bundles / "acme",
            kill_broker=lambda: run(compose, "kill", "kafka-2"),
            start_broker=lambda: run(compose, "start", "kafka-2"),
        )
    except AssertionError:
        print("\n".join(compose.get_logs())[-20_000:])
        raise
