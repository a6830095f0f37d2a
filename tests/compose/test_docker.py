"""docker-compose.yml on a Docker engine, through testcontainers."""

import faulthandler
import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.compose.containers import Containers
from tests.compose.scenario import (
    DENIALS,
    DENIED,
    LINES,
    Feed,
    Run,
    alert_of,
    balanced,
    denials,
    exactly_once,
    new_mark,
)

pytestmark = [pytest.mark.docker, pytest.mark.kill]


def engine_answers() -> bool:
    try:
        return bool(docker.from_env(timeout=5).ping())
    except DockerException:
        return False


@pytest.fixture
def containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Containers]:
    """The deployment under a project name of its own: its volumes are removed at the end, and
    nobody else's. Ports 5514 and 9094 to 9096 have to be free."""
    if not engine_answers():
        pytest.skip("no Docker engine answers")
    # Building images may take longer than a hang of any other test; the deadlines below are enough.
    faulthandler.cancel_dump_traceback_later()
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"northbound-test-{secrets.token_hex(4)}")
    for name in ("NORTHBOUND_ADVERTISE", "NORTHBOUND_PUBLISH"):
        monkeypatch.delenv(name, raising=False)
    with Containers(tmp_path / "bundles") as started:
        yield started


def test_each_line_has_one_outcome_and_state_is_kept(containers: Containers) -> None:
    """Lines sent to the published port reach the bundle's consumer on localhost, or the dead
    letters, once each while the leader of their events and each worker are killed. After `down` and
    `up` all of it is there, nothing of it twice, and a rule goes on counting where it was."""
    try:
        containers.up("--build")
        containers.copy_bundles()
        mark, user = new_mark(), new_mark()
        exactly_once(containers, mark)
        assert all(containers.restarts("worker")), "a worker was not killed"
        denials(containers, user, 0)
        containers.run("down")
        containers.up()
        with Feed(containers, "events") as feed:
            run = Run(feed, mark)
            run.read_until(LINES)
        balanced(containers, mark, run)
        denials(containers, user, DENIALS)
        alert = alert_of(containers, user)["finding_info"]
        title, threshold = DENIED
        assert alert["title"] == title
        assert threshold <= alert["related_events_count"] <= 2 * DENIALS
    except AssertionError:
        print(containers.logs())
        raise
