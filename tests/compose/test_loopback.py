"""What docker-compose.yml starts works without Docker too: three brokers, agent, two workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.compose.loopback import HOSTS, Loopback, remove
from tests.compose.scenario import exactly_once, new_mark
from tests.runtime.processes import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.kill]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Loopback]:
    """Nothing of it is left at the end."""
    made = Loopback(tmp_path)
    yield made
    made.close()
    remove(tmp_path)


def test_the_services_commands_form_a_cluster_that_is_exactly_once(deployment: Loopback) -> None:
    """The commands of docker-compose.yml, in its order, make three brokers with replicated topics;
    lines sent over TCP have one outcome each although a leader and the workers are killed."""
    try:
        deployment.prepare()
        for name in HOSTS:
            deployment.start_broker(name)
        deployment.setup()
        deployment.start_northbound()
        wait_for(deployment.ready, "agent and workers ready")
        _replicated(deployment)
        exactly_once(deployment, new_mark())
        _replicated(deployment)
    except AssertionError:
        print(deployment.logs())
        raise


def _replicated(deployment: Loopback) -> None:
    """Wait until every partition of every topic is in sync on all three brokers."""
    bootstrap = deployment._northbound()["NORTHBOUND_BOOTSTRAP"]
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def complete() -> bool:
        try:
            topics = admin.list_topics(timeout=10).topics.values()
        except KafkaException:  # the broker that was asked may be the one that starts again
            return False
        partitions = [each for topic in topics for each in topic.partitions.values()]
        return bool(partitions) and all(len(each.isrs) == len(HOSTS) for each in partitions)

    wait_for(complete, "every partition in sync on three brokers")
