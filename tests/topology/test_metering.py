"""What stages and rules cost: each is charged with its own time, by a clock from outside."""

from itertools import count

import numpy as np
import polars as pl

from tests.topology.deployment import RAW, START, line, plan
from topology.events import EventsSubTopology
from topology.filters import Filter, Filters
from topology.metering import Meter, measured, measuring
from topology.records import Batch, Position


def batch(lines: list[bytes]) -> Batch:
    """Records of the raw topic."""
    rows = len(lines)
    return Batch(
        RAW,
        np.zeros(rows, dtype=np.int32),
        np.arange(rows),
        np.full(rows, START),
        [None] * rows,
        lines,
    )


def process(meter: Meter) -> None:
    chosen = plan()
    events = EventsSubTopology(chosen)
    events.assign({(RAW, 0): Position(0, "")}, {})
    with measuring(meter):
        events.process(batch([line(START, "eve"), line(START, "bob", operation="fs_read_data")]))


def test_every_stage_is_charged() -> None:
    """Stage and component of what ran; rules by id, only where they are asked for."""
    meter = Meter(count().__next__, rules=True)
    process(meter)
    assert {stage for stage, _ in meter.stages} == {"parse", "normalize", "match", "encode"}
    assert ("encode", "ocsf-json") in meter.stages
    assert all(cost > 0 for cost in meter.stages.values())
    assert set(meter.by_rule) == {entry.rule.id for entry in plan().rules.rules.events}
    assert meter.by_rule.total() < meter.stages["match", "rules"]
    bare = Meter(count().__next__)
    process(bare)
    assert not bare.by_rule


def test_conditions_of_filters_are_no_rules() -> None:
    """A filter is a part of its stage."""
    meter = Meter(count().__next__, rules=True)
    chosen = Filters([Filter("a", keep=True, detection={"it": {"x": 1}})])
    with measuring(meter), measured("filter", "nas"):
        chosen.apply(pl.DataFrame({"row": [0], "x": [1]}))
    assert not meter.by_rule
    assert set(meter.stages) == {("filter", "nas")}


def test_without_a_meter_nothing_is_measured() -> None:
    """Stages run as they are."""
    with measured("parse", "qumulo"):
        pass
    meter = Meter(count().__next__)
    with measuring(meter):
        pass
    with measured("parse", "qumulo"):
        pass
    assert not meter.stages
