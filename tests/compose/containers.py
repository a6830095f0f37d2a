"""docker-compose.yml on a Docker engine: what docs/compose.md says, and the scenario's acts."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import docker
from testcontainers.compose import DockerCompose

from tests.compose.project import FILE, ROOT

UP_S = 900.0
"""With the build of the image."""
COMMAND_S = 180.0
# Everything but init, which the kernel keeps from it, and the shell itself.
KILL_ALL = "kill -9 -1"


class Containers:
    """The project that COMPOSE_PROJECT_NAME names; gone, volumes too, at the end."""

    syslog = ("127.0.0.1", 5514)

    def __init__(self, bundles: Path) -> None:
        self._compose = DockerCompose(ROOT, compose_file_name=FILE.name)
        self._bundles = bundles
        self.bundle = bundles / "acme"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._compose.stop(down=True)

    def up(self, *options: str) -> None:
        """Start everything and wait until it is healthy."""
        self.run("up", *options, "--detach", "--wait", seconds=UP_S)

    def copy_bundles(self) -> None:
        self.run("cp", "setup:/northbound/bundles/.", str(self._bundles))

    def kill_broker(self, name: str) -> None:
        """It stays down: what Docker was told to kill it does not start again."""
        self.run("kill", name)

    def start_broker(self, name: str) -> None:
        self.run("start", name)

    def kill_worker(self, number: int) -> None:
        """Its process ends as in a crash, and `restart: unless-stopped` starts it again."""
        self.run("exec", "-T", f"--index={number}", "worker", "sh", "-c", KILL_ALL, status=None)

    def restarts(self, service: str) -> list[int]:
        """How often Docker has started each container of a service again."""
        found = self.run("ps", "--quiet", service).split()
        engine = docker.from_env()
        return [engine.containers.get(each).attrs["RestartCount"] for each in found]

    def keep_running(self) -> None:
        """Docker does."""

    def northbound(self, *arguments: str) -> str:
        return self.run("exec", "-T", "ingest", "northbound", *arguments)

    def logs(self) -> str:
        """The end of all logs."""
        return self.run("logs", "--tail=40")[-20_000:]

    def run(self, *arguments: str, seconds: float = COMMAND_S, status: int | None = 0) -> str:
        """One `docker compose` command that ends in time, with `status` unless it is None."""
        argv = [*self._compose.compose_command_property, *arguments]
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert status in {None, done.returncode}, f"{' '.join(argv)}: {done.stderr[-4000:]}"
        return done.stdout
