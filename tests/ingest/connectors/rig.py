"""An agent as a process of its own, with the connectors of a northbound.yaml, to be killed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.ingest.peers import wait_for
from tests.ingest.rig import read_all

ARGV = [sys.executable, "-c", "from app.cli import main; main()", "ingest"]


class Agent:
    """`northbound ingest` on a cluster; `connectors` and other keys as in northbound.yaml."""

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        source: str,
        *connectors: dict[str, Any],
        env: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.file = folder / "northbound.yaml"
        self.log = folder / "agent.log"
        self.source = source
        self._folder = folder
        self._env = env or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._content = {
            "version": 1,
            "kafka": {"external": {"bootstrap": bootstrap, "replication": 1}},
            # Ticks would be records of the topic, too, where a machine is slow.
            "sources": {source: {"format": "qumulo", "partitions": 1, "tick": "1h"}},
            **more,
        }
        self.configure(*connectors)

    def configure(self, *connectors: dict[str, Any]) -> None:
        """Write northbound.yaml with these connectors."""
        listed = [{"source": self.source, **each} for each in connectors]
        fresh = self._folder / "fresh.yaml"
        fresh.write_text(yaml.safe_dump({**self._content, "connectors": listed}))
        fresh.replace(self.file)

    @property
    def argv(self) -> list[str]:
        """The command."""
        return [*ARGV, "--config", str(self.file)]

    @property
    def env(self) -> dict[str, str]:
        """Its environment."""
        return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **self._env}

    def start(self) -> None:
        """Start, and wait until it works."""
        (self._folder / "state" / "ingest.json").unlink(missing_ok=True)
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(self.argv, stdout=out, stderr=out, env=self.env)
        wait_for(lambda: self.ledgers() or self._ended(), "the agent's status")

    def _ended(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return False

    def ledgers(self) -> list[dict[str, Any]]:
        """What its status file says; nothing if there is none."""
        try:
            found = orjson.loads((self._folder / "state" / "ingest.json").read_bytes())
        except (OSError, ValueError):
            return []
        return list(found["listeners"])

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hang_up(self) -> None:
        """SIGHUP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """SIGTERM; it has to end with 0, with books that balance."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(120) == 0, self.log.read_text()
        assert all(each["balanced"] and not each["in_flight"] for each in self.ledgers())

    def end(self) -> None:
        """Whatever happened, it does not run on."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


def compare(bootstrap: str, topic: str, wanted: Iterable[bytes]) -> tuple[int, int, list[bytes]]:
    """How many lines are missing in a topic, how many came twice, and all of them in order."""
    expected = Counter(wanted)
    found = [message.value() for message in read_all(bootstrap, topic, expected)]
    counted = Counter(found)
    return (expected - counted).total(), (counted - expected).total(), found
