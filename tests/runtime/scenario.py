"""A running verification: topics, a steady stream of input, workers, and the verdict."""

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from tests.runtime.processes import WorkerProcess, wait_for
from tests.runtime.verification import KEYS, changelog_of, create_topics, judge, lag

KILLS = int(os.environ.get("NORTHBOUND_KILLS", "2"))
"""Kills of each kind; for long runs, set more."""
RATE = 600
PARTITIONS = 4
OPTIONS: dict[str, Any] = {"commit_interval": 0.25, "max_batch": 150}


class Feeder(threading.Thread):
    """Writes sequence numbers at a steady rate until it is stopped."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._servers = bootstrap
        self._topic = topic
        self._ended = threading.Event()
        self.written = 0
        self.left = 0

    def run(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._servers,
                "enable.idempotence": True,  # the input itself must hold everything once
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        started = time.monotonic()
        while not self._ended.wait(0.01):
            while self.written < (time.monotonic() - started) * RATE:
                key = self.written % KEYS
                producer.produce(
                    self._topic,
                    b"%d" % self.written,
                    b"k%d" % key,
                    partition=key % PARTITIONS,
                )
                self.written += 1
            producer.poll(0)
        self.left = producer.flush(60)

    def finish(self) -> int:
        """Stop; returns how many records there are."""
        self._ended.set()
        self.join()
        assert self.left == 0, f"{self.left} input records were not written"
        return self.written


class Scenario:
    """Workers on a topic of their own. `folder` is for their state and logs."""

    def __init__(self, bootstrap: str, folder: Path, name: str, seed: int, **config: Any) -> None:
        self.bootstrap = bootstrap
        self.topic, self.output, self.group = f"{name}-in", f"{name}-out", f"{name}-group"
        self.random = random.Random(seed)
        self.config = {
            "bootstrap": bootstrap,
            "topic": self.topic,
            "output": self.output,
            "group": self.group,
            "state": str(folder / "state"),
            "sleep": 0.02,
            **config,
            "options": {**OPTIONS, **config.get("options", {})},
        }
        self._folder = folder
        self.workers: list[WorkerProcess] = []
        self.changelog = changelog_of(self.topic)
        create_topics(
            bootstrap, **{self.topic: PARTITIONS, self.output: 2, self.changelog: PARTITIONS}
        )
        self.feeder = Feeder(bootstrap, self.topic)

    def start(self, workers: int = 1) -> list[WorkerProcess]:
        """Start feeding and the workers, and wait until all are ready."""
        self.feeder.start()
        for _ in range(workers):
            self.add()
        for worker in self.workers:
            wait_for(worker.ready, f"{worker.log} ready")
        return self.workers

    def add(self, **changes: Any) -> WorkerProcess:
        """Start one more worker."""
        worker = WorkerProcess(
            {**self.config, **changes}, self._folder, f"worker-{len(self.workers)}"
        )
        self.workers.append(worker)
        return worker.start()

    def progress(self, worker: WorkerProcess) -> None:
        """Wait until the worker has committed something, then for a random moment of its work."""
        wait_for(lambda: worker.stats().get("commits", 0) > 0, f"{worker.log}: a commit")
        time.sleep(self.random.uniform(0.0, 0.4))  # any moment will do, it is what is tried out

    def finish(self, timeout: float = 120.0) -> int:
        """Stop feeding and wait until all is processed; ended workers are started again."""
        count = self.feeder.finish()

        def processed() -> bool:
            for worker in self.workers:
                worker.supervise()
            return lag(self.bootstrap, self.group, self.topic) == 0

        wait_for(processed, f"group {self.group} at the end of {self.topic}", timeout)
        for worker in self.workers:
            wait_for(lambda w=worker: not w.supervise() and w.ready(), f"{worker.log} ready")
        return count

    def verdict(self, count: int) -> Any:
        """Compare everything with the truth."""
        return judge(
            self.bootstrap,
            output=self.output,
            numbers=range(count),
            changelog=self.changelog,
            partitions=PARTITIONS,
        )

    def close(self) -> None:
        """End what still runs."""
        if self.feeder.is_alive():
            self.feeder._ended.set()
            self.feeder.join(70)
        for worker in self.workers:
            worker.end()

    def logs(self) -> str:
        """What the workers wrote, for a failing test."""
        return "\n".join(worker.log.read_text(errors="replace")[-3000:] for worker in self.workers)
