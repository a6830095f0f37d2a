"""`expose: [normalized]` on a real broker: two processes, one agent each, and what kill -9 changes.

The truth is what the topology test driver makes of the raw topic with everything in one agent.
"""

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from app.broker import admin, ports
from app.broker.server import EmbeddedKafka
from app.config import Config, load
from app.deployment import Deployment, DeploymentError
from app.lag import Level, lags
from app.planning import build_plan, declared
from app.reading import ReadingError, read
from tests.runtime.processes import ROOT, end, start_faust, wait_for
from tests.topology.deployment import line, steps
from topology.testing import TopologyTestDriver
from topology.uid import origin

pytestmark = [pytest.mark.broker, pytest.mark.kill]

PARTITIONS = 3
ROUNDS = {"memory": 4, "disk": 2}
LINES = 4_000
START = int(time.time() * 1000) - 3_600_000
"""Raw records keep the time stamps given here, and those beyond the retention would be removed."""
END = START + 3_600_000


@pytest.fixture
def config(
    kafka: EmbeddedKafka,
    tmp_path: Path,
    unique: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> Config:
    """A deployment under a prefix of its own, with its topics; a parameter is `workers.store`."""
    return _configure(kafka, tmp_path, unique("exposed"), getattr(request, "param", "memory"))


def _configure(kafka: EmbeddedKafka, folder: Path, prefix: str, store: str) -> Config:
    file = folder / "northbound.yaml"
    file.write_text(
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {prefix}.
  matches_partitions: 2
sources:
  q: {{format: qumulo, partitions: {PARTITIONS}}}
rules: [{ROOT / "rules" / "qumulo"}]
tenants:
  acme: {{sources: [q]}}
expose: [normalized]
workers: {{store: {store}}}
""",
        encoding="utf-8",
    )
    config = load(file)
    topics = declared(config, build_plan(config, origins={}))
    admin.ensure(admin.connect(config.client()), topics, 1)
    return config


class Worker:
    """A worker process with some of the agents."""

    def __init__(self, config: Config, agents: str) -> None:
        self._folder = config.home
        self._agents = agents
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        log = self._folder / f"{self._agents}.log"
        port = ports.free("127.0.0.1")
        agents = {"NORTHBOUND_AGENTS": self._agents}
        return start_faust(self._folder / "northbound.yaml", port, log, **agents)

    def kill(self) -> None:
        """kill -9, and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def end(self) -> None:
        end(self.process)


@pytest.fixture
def worker(config: Config) -> Iterator[Callable[[str], Worker]]:
    """Start workers by the names of their agents; what still runs at the end is ended."""
    made: list[Worker] = []

    def start(agents: str) -> Worker:
        made.append(Worker(config, agents))
        return made[-1]

    yield start
    for each in made:
        each.end()


def _send(config: Config, seed: int, first: int, count: int) -> None:
    """Lines of a busy minute, a hundredth of them broken; partitions are given."""
    chooser = random.Random(seed + first)
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    for number in range(first, first + count):
        time = START + number * 5
        raw = line(time, chooser.choice(["eve", "mallory", "bob"]), path=f"/data/{number}.txt")
        producer.produce(
            config.names.raw("q"),
            b"broken" if number % 100 == 0 else raw,
            b"10.0.0.7",
            partition=chooser.randrange(PARTITIONS),
            timestamp=time + 3,
        )
        producer.poll(0)
    assert producer.flush(60) == 0


def _tick(config: Config) -> None:
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    for number in range(PARTITIONS):
        producer.produce(config.names.raw("q"), None, b"tick", partition=number, timestamp=END)
    assert producer.flush(60) == 0


def _finals(values: list[bytes]) -> list[bytes]:
    return sorted(each for each in values if orjson.loads(each)["unmapped"]["state"] == "final")


def _truth(config: Config) -> dict[str, Any]:
    """What one agent makes of the raw topic."""
    names = config.names
    cluster, ids = admin.identity(admin.connect(config.client()), [names.raw("q")])
    origins = {names.raw("q"): origin(cluster, ids[names.raw("q")])}
    plan = build_plan(config.model_copy(update={"expose": []}), origins)
    driver = TopologyTestDriver(
        steps(plan), partitions={names.raw("q"): PARTITIONS, names.matches: 2}
    )
    for each in read(config.client(), [names.raw("q")]):
        _, stamp = each.timestamp()
        driver.pipe(
            names.raw("q"),
            each.value(),
            timestamp=stamp,
            key=each.key(),
            partition=each.partition(),
        )
    driver.run()
    return {
        "events": Counter((each.key, each.value) for each in driver.read(names.events("acme"))),
        "dead letters": Counter(each.value for each in driver.read(names.dead_letters)),
        "finals": _finals([each.value or b"" for each in driver.read(names.alerts("acme"))]),
    }


def _found(config: Config) -> dict[str, Any]:
    """What consumers of committed records see."""
    client, names = config.client(), config.names
    events = Counter((each.key(), each.value()) for each in read(client, [names.events("acme")]))
    letters = Counter(each.value() for each in read(client, [names.dead_letters]))
    alerts = [each.value() for each in read(client, [names.alerts("acme")])]
    return {"events": events, "dead letters": letters, "finals": _finals(alerts)}


def _levels(config: Config) -> dict[str, Level]:
    """Of every topic; new partitions may need a moment until they have a leader that answers."""

    def ask() -> dict[str, Level] | None:
        try:
            return lags(config)
        except ReadingError:
            return None

    found: dict[str, Level] = wait_for(ask, "an answer about every topic")
    return found


def _done(config: Config) -> bool:
    return not any(level.lag for level in _levels(config).values())


@pytest.mark.parametrize("config", ["memory", "disk"], indirect=True)
def test_kill_either_agent_and_nothing_changes(
    config: Config, worker: Callable[[str], Worker], seed: int
) -> None:
    """kill -9 of normalize, then of events and alerts, over and over: the truth, once each."""
    names = config.names
    agents = [worker("normalize"), worker("events,alerts")]
    watched = [names.normalized("q"), names.events("acme")]
    rounds = ROUNDS[config.workers.store]
    for number in range(rounds):
        victim, topic = agents[number % 2], watched[number % 2]
        before = _levels(config)[topic].offsets
        _send(config, seed, number * LINES, LINES)
        wait_for(
            lambda t=topic, b=before: _levels(config)[t].offsets > b, f"more records in {topic}", 90
        )
        victim.kill()
    _tick(config)
    wait_for(lambda: _done(config), "everything read", 120)
    assert [each.stop() for each in agents] == [0, 0]
    expected, found = _truth(config), _found(config)
    assert expected == found
    assert sum(found["events"].values()) == rounds * LINES * 99 // 100
    assert len(found["finals"]) >= 2
    local = config.state / "stores" / names.changelog("alerts") / "0"
    assert local.exists() == (config.workers.store == "disk")


def test_no_unread_events_are_left_behind(
    config: Config, worker: Callable[[str], Worker], seed: int
) -> None:
    """Without `expose`, `up` refuses while normalized events wait, and says how many and where."""
    one = worker("normalize")
    _send(config, seed, 0, 50)
    topic = config.names.normalized("q")
    wait_for(lambda: _levels(config)[topic].lag == 49, "49 events that nobody has read")
    assert one.stop() == 0
    fused = config.model_copy(update={"expose": []})
    fused._home = config.home
    said: list[str] = []
    deployment = Deployment(config.home / "northbound.yaml", fused, said.append)
    with pytest.raises(DeploymentError, match=rf"{topic} \(49\).*--agent events"):
        deployment.start()
