"""Records that end the process each time become dead letters, whichever sub-topology they stop."""

from pathlib import Path

import numpy as np
import pytest

from app.pipeline_tests import plan_of
from app.planning import build_plan, declared
from schemas.codec import decode
from tests.topology.configured import configured
from topology.pipeline import pipeline
from topology.records import Batch

REASON = "the record ended the worker's process"


@pytest.mark.parametrize("expose", [[], ["normalized"]])
def test_every_sub_topology_takes_what_is_rejected(tmp_path: Path, expose: list[str]) -> None:
    """Each makes a dead letter with the bytes, the place and the reason."""
    plan = plan_of(configured(tmp_path, expose=expose))
    for each in pipeline(plan.expose):
        batch = Batch(
            each.topics(plan)[0],
            np.zeros(1, np.int32),
            np.array([7]),
            np.array([1_795_780_800_000]),
            [b"k"],
            [b"poison"],
        )
        (letters,) = each.build(plan).reject(batch, REASON).outputs
        assert letters.topic == plan.names.dead_letters
        _, letter = decode(letters.values[0])
        assert (letter["raw"], letter["offset"], letter["key"]) == (b"poison", 7, b"k")
        assert REASON in letter["reason"]


@pytest.mark.parametrize("expose", [[], ["normalized"]])
def test_a_tick_that_is_rejected_ends_no_worker(tmp_path: Path, expose: list[str]) -> None:
    """It was alone in work when a process was killed five times, as on a quiet source; there is
    nothing to keep of it."""
    plan = plan_of(configured(tmp_path, expose=expose))
    for each in pipeline(plan.expose):
        batch = Batch(
            each.topics(plan)[0],
            np.zeros(1, np.int32),
            np.array([7]),
            np.array([1_795_780_800_000]),
            [b"tick"],
            [None],
        )
        outcome = each.build(plan).reject(batch, REASON)
        assert (outcome.outputs, outcome.counts.get("dead_letters", 0)) == ([], 0)


def test_no_clock_removes_what_waits(tmp_path: Path) -> None:
    """Kafka removes no entry of the alerts' store: neither while the lateness of a source holds it,
    nor when rules are taken up whose timespan is longer; and matches wait as long as raw lines."""
    config = configured(tmp_path, lateness="7d")
    topics = {each.name: each for each in declared(config, build_plan(config, {}))}
    changelog = topics[config.names.changelog("alerts")].settings()
    assert changelog["cleanup.policy"] == "compact"
    matches, raw = topics[config.names.matches], topics[config.names.raw("qumulo")]
    assert matches.settings()["retention.ms"] == raw.settings()["retention.ms"]
