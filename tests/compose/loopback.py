"""The services of docker-compose.yml as processes on loopback addresses, one for each broker.

The same commands with the same files in the same order, in a folder that stands for /northbound.
What stands for the apache/kafka image runs Kafka's classes from the embedded broker's jars.
"""

import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from app.broker import class_archive, jars, ports
from app.broker.java import find_java
from tests.compose.project import ROOT, environment, project

HOSTS = {f"kafka-{number}": f"127.0.0.{number}" for number in (1, 2, 3)}
HEAP = "-Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
LAUNCHERS = {
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-server-start.sh": "kafka.Kafka",
}
ONE_SHOT_S = 180.0


class Loopback:
    """The deployment in `home`; whatever it started is gone after `close`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, dict[str, Any]] = {}
        self._services: dict[str, dict[str, Any]] = project()["services"]
        self._internal = next(
            first
            for first in iter(lambda: ports.free("127.0.0.1", 2), 0)
            if all(ports.all_free(host, first, 2) for host in HOSTS.values())
        )
        self._listen = ports.free("127.0.0.1", len(HOSTS))
        self.syslog = ("127.0.0.1", ports.free("127.0.0.1"))
        self.bundle = home / "bundles" / "acme"
        self._webs = {name: ports.free("127.0.0.1") for name in ("ingest", "worker-1", "worker-2")}
        self._environment = {**os.environ, **self._northbound(), "KAFKA_HEAP_OPTS": HEAP}
        self._lay_out()

    def _northbound(self) -> dict[str, str]:
        """The environment of docker-compose.yml with loopback addresses."""
        advertise = (f"localhost:{self._listen + number}" for number in range(len(HOSTS)))
        internal = (f"{host}:{self._internal}" for host in HOSTS.values())
        return {
            **environment(),
            "NORTHBOUND_BOOTSTRAP": ",".join(internal),
            "NORTHBOUND_ADVERTISE": ",".join(advertise),
        }

    def _lay_out(self) -> None:
        """northbound.yaml with free ports, what it names, and launchers as the image has them."""
        sample = yaml.safe_load((ROOT / "northbound.yaml").read_text(encoding="utf-8"))
        sample["listeners"][0]["listen"] = ports.join(*self.syslog)
        sample["ingest"]["web"] = f"127.0.0.1:{self._webs['ingest']}"
        (self.home / "northbound.yaml").write_text(yaml.safe_dump(sample), encoding="utf-8")
        for name in ("rules", "examples"):
            (self.home / name).symlink_to(ROOT / name)
        binaries = self.home / "bin"
        binaries.mkdir()
        java, files = find_java(), jars.class_path()
        archive = class_archive.use(class_archive.archive_file(jars.cache_folder(), java, files))
        class_path = os.pathsep.join(map(str, files))
        for name, main in LAUNCHERS.items():
            flags = f"$KAFKA_HEAP_OPTS {' '.join(archive)}"
            script = f'#!/bin/sh\nexec "{java.program}" -cp "{class_path}" {flags} {main} "$@"\n'
            _program(binaries / name, script)
        _program(binaries / "hostname", '#!/bin/sh\necho "$BROKER"\n')

    # -- services ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """One shot; then every broker gets a data folder of its own, as a container would have."""
        self._one_shot("prepare")
        for host in HOSTS.values():
            file = self.home / "brokers" / host / "server.properties"
            text = file.read_text(encoding="utf-8")
            assert "log.dirs=/var/lib/kafka/data\n" in text
            storage = self.home / f"kafka-{host}"
            file.write_text(text.replace("/var/lib/kafka/data", str(storage)), encoding="utf-8")

    def start_broker(self, name: str) -> None:
        """Format the storage if it is new, and start it."""
        service = self._services[name]
        argv = [*service["entrypoint"], *service["command"]]
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._start(name, argv, BROKER=HOSTS[name], PATH=path)

    def setup(self) -> None:
        """One shot: waits for the brokers itself."""
        self._one_shot("setup")

    def start_northbound(self) -> None:
        """The ingest agent and as many workers as are asked for."""
        self._start("ingest", self._services["ingest"]["command"])
        service = self._services["worker"]
        for number in range(1, service["deploy"]["replicas"] + 1):
            name = f"worker-{number}"
            argv = [*service["command"][:-1], str(self._webs[name])]
            # Each container has a state folder of its own.
            home = self.home / name
            home.mkdir()
            for each in ("northbound.yaml", "rules", "examples"):
                (home / each).symlink_to(self.home / each)
            self._start(name, argv, home=home)

    def ready(self) -> bool:
        """What the health checks ask for."""
        return all(_answers(port) for port in self._webs.values())

    def kill(self, name: str) -> None:
        """As `docker compose kill`."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_broker(self, name: str) -> None:
        """It stays down until it is started again."""
        self.kill(name)

    def kill_worker(self, number: int) -> None:
        """`keep_running` starts it again."""
        process = self.processes[f"worker-{number}"]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def northbound(self, *arguments: str) -> str:
        """Standard output of a command, as `docker compose exec ingest northbound`."""
        return self._run(["northbound", *arguments], "northbound")

    def keep_running(self) -> None:
        """`restart: unless-stopped`: agent and workers that have ended are started again."""
        for name, process in list(self.processes.items()):
            if not name.startswith("kafka") and process.poll() is not None:
                self._spawn(name)

    def close(self) -> None:
        """End everything, in the order in which data flows; brokers without farewell."""
        kafka = [name for name in self.processes if name.startswith("kafka")]
        for name in [each for each in self.processes if each not in kafka]:
            self.processes[name].terminate()
        for name in list(self.processes):
            if name not in kafka:
                try:
                    self.processes[name].wait(20)
                except subprocess.TimeoutExpired:
                    self.kill(name)
        for name in kafka:
            self.kill(name)

    def logs(self) -> str:
        """The end of every log, for a failing test."""
        parts = []
        for file in sorted(self.home.glob("*.log")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            parts.append("\n".join([f"== {file.name}", *lines[-15:]]))
        return "\n".join(parts)

    # -- processes -----------------------------------------------------------------------------

    def _adapted(self, argv: list[str]) -> list[str]:
        """The command with this folder for /northbound, the launchers, and free ports."""
        here = Path(sys.executable).parent
        places = {
            "/opt/kafka/bin": str(self.home / "bin"),
            "/northbound/": f"{self.home}/",
            "0.0.0.0:9094": f"127.0.0.1:{self._listen}",
        }
        command = list(argv)
        for place, other in places.items():
            command = [each.replace(place, other) for each in command]
        return [str(here / command[0]) if command[0] == "northbound" else command[0], *command[1:]]

    def _one_shot(self, name: str) -> None:
        self._run(self._services[name]["command"], name)

    def _run(self, argv: list[str], name: str) -> str:
        done = subprocess.run(
            self._adapted(argv),
            cwd=self.home,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=ONE_SHOT_S,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout

    def _start(self, name: str, argv: list[str], home: Path | None = None, **env: str) -> None:
        self._started[name] = {
            "args": self._adapted(argv),
            "cwd": home or self.home,
            "env": {**self._environment, **env},
        }
        self._spawn(name)

    def _spawn(self, name: str) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                **self._started[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def remove(home: Path) -> None:
    """Free the brokers' data; pytest keeps the folders of the last runs."""
    for folder in home.glob("kafka-127*"):
        shutil.rmtree(folder, ignore_errors=True)


def _program(file: Path, script: str) -> None:
    file.write_text(script, encoding="utf-8")
    file.chmod(0o755)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=4):
            return True
    except (OSError, urllib.error.URLError):
        return False
