"""Fixtures for all tests: the seed, Hypothesis' profile and a real broker.

`kafka` is one broker for the whole session: use topics, groups and ids of your own on it and never
stop it. `shaken_kafka` is one for a file whose tests may, `make_kafka` starts those of one test.
`make test` runs three sessions beside each other, whole files at a time, so nothing a test uses may
have a fixed address or place.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck, settings

from app.broker import ports
from app.broker.server import EmbeddedKafka

CONNECTIONS_PER_ADDRESS = 8
"""What the session's broker takes from another address than 127.0.0.1, of which it takes all."""

LOWEST_PORT = 10_000
"""Above those that programs are known by."""

SEED = int(os.environ.get("NORTHBOUND_SEED", "1"))

# No example database, and nothing that fails for being slow: a run is repeated by its seed alone,
# on a busy machine too.
settings.register_profile(
    "northbound",
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("northbound")

# A broker of a test lives for a minute or less. In its first 20 s it takes 16 s of CPU, 8 s of them
# for the JVM's second compiler.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis draws from NORTHBOUND_SEED unless --hypothesis-seed says otherwise.

    Sessions beside each other choose free ports of ranges of their own: some are listened on
    seconds later only, by a process that starts, and some are free while theirs is started again.
    Processes that choose for themselves, as `northbound up` does, do so above all of these.
    """
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = SEED
    sessions = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % sessions
    share = (ports.LOWEST - LOWEST_PORT) // sessions
    ports.LOWEST = LOWEST_PORT + number * share
    ports.HIGHEST = ports.LOWEST + share


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to repeat this run."""
    return f"NORTHBOUND_SEED={SEED} (Hypothesis seed {config.option.hypothesis_seed})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that kill or need a broker come first: they take longest, and short ones fill gaps."""
    ranks: dict[str, int] = {}
    for item in items:
        file = item.nodeid.partition("::")[0]
        rank = (
            0 if item.get_closest_marker("kill") else 1 if item.get_closest_marker("broker") else 2
        )
        ranks[file] = min(rank, ranks.get(file, 2))
    items.sort(key=lambda item: ranks[item.nodeid.partition("::")[0]])


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of this run; derive every random choice from it."""
    return SEED


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A running broker shared by all tests: `.bootstrap`, `.northbound`, `.ca`, `.pid`."""
    broker = EmbeddedKafka(
        tmp_path_factory.mktemp("kafka"),
        listen="127.0.0.1:0",
        advertise="localhost:0",
        heap="512m",
        connections_per_address=CONNECTIONS_PER_ADDRESS,
        by_certificate=("127.0.0.1:0", "localhost:0"),
    )
    try:
        broker.start()
        yield broker
    finally:
        _end(broker)


@pytest.fixture
def make_kafka(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., EmbeddedKafka]]:
    """Start a broker of the test's own: `make_kafka(**options of EmbeddedKafka)`.

    The test may kill(), start() and stop() it; it is ended at the end.
    """
    started: list[EmbeddedKafka] = []

    def make(**options: object) -> EmbeddedKafka:
        chosen = {
            "data": tmp_path_factory.mktemp("kafka"),
            "listen": "127.0.0.1:0",
            "advertise": "localhost:0",
            "heap": "512m",
            **options,
        }
        broker = EmbeddedKafka(**chosen)
        started.append(broker)
        broker.start()
        return broker

    yield make
    for broker in started:
        _end(broker)


def _end(broker: EmbeddedKafka) -> None:
    """kill -9: nobody comes back to its data, and three brokers take 11 s to stop in order.

    The first one of a machine ends in order, as it then leaves its classes for quicker starts.
    """
    for node in broker._nodes:
        if node._tools.archive.exists():
            node.kill()
    broker.stop()


@pytest.fixture(scope="module")
def shaken_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of one file, whose tests may stop and kill it; each leaves it running."""
    folder = tmp_path_factory.mktemp("kafka")
    broker = EmbeddedKafka(folder, listen="127.0.0.1:0", advertise="localhost:0", heap="512m")
    with broker:
        yield broker


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    """A name that nothing else in this session has: `unique("group")` is `group-7`."""
    numbers = itertools.count(1)
    return lambda stem: f"{stem}-{next(numbers)}"


@pytest.fixture
def create_topic(kafka: EmbeddedKafka, unique: Callable[[str], str]) -> Callable[..., str]:
    """Create a topic on the session's broker: `create_topic("raw", partitions=2, **config)`.

    Underscores in the names of settings stand for dots. Returns the topic's unique name.
    """

    def create(stem: str = "topic", partitions: int = 1, **config: str) -> str:
        name = unique(stem)
        topic = NewTopic(
            name,
            num_partitions=partitions,
            config={key.replace("_", "."): value for key, value in config.items()},
        )
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.create_topics([topic])[name].result(60)
        _wait_for_leaders(admin, name, partitions)
        return name

    return create


def _wait_for_leaders(admin: AdminClient, topic: str, partitions: int) -> None:
    """The controller has created the topic; the broker that tests ask may not know of it yet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = admin.list_topics(topic, timeout=60).topics[topic].partitions
        if len(found) == partitions and all(each.leader >= 0 for each in found.values()):
            return
        time.sleep(0.02)
    pytest.fail(f"{topic} has no {partitions} partitions with leaders after 60 s")
