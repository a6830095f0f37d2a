"""Kafka in memory, in place of the session's broker."""

import pytest

from tests.runtime.engine.rig import A, B
from tests.runtime.fakes import FakeKafka


@pytest.fixture
def kafka() -> FakeKafka:
    """The engine's partitions come with its first poll."""
    kafka = FakeKafka()
    kafka.events.append(("assign", [A, B]))
    return kafka
