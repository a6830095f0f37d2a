"""The demo's stream leads to what it says: every line, every malformed one, every alert."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from app.demo.incidents import LONGEST_S
from app.demo.malformed import KINDS
from app.demo.stream import CLUSTERS, Stream
from app.ingest.framing import Framer, frames
from app.rules import load_rules
from tests.topology.deployment import steps
from topology.formats import decode
from topology.match.compile import RuleSet
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource
from topology.testing import TopologyTestDriver
from topology.topics import Names

START_MS = 1_795_000_000_000
SPAN_MS = 600_000
NAMES = Names()
RAW = NAMES.raw("qumulo")
RULES = Path(__file__).parents[2] / "rules" / "qumulo"
MINIMUM = 10_000
"""Fewest lines that `northbound demo` takes."""


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    """The rules that the demo runs."""
    return load_rules([RULES], None)


def stream(seed: int, lines: int, span_ms: int = SPAN_MS) -> Stream:
    """A stream of the tests' span."""
    return Stream(seed, lines, START_MS, START_MS + span_ms)


def wire(made: Stream) -> dict[str, bytes]:
    """All bytes of each connection."""
    return {
        each.cluster.name: b"".join(chunk.data for chunk in each.chunks())
        for each in made.connections()
    }


def messages(made: Stream) -> list[bytes]:
    """All messages, as the ingest agent cuts them."""
    return [frame for data in wire(made).values() for frame in frames(data)]


def test_same_seed_same_bytes(seed: int) -> None:
    """The same arguments give the same bytes; another seed gives others."""
    made = [
        hashlib.sha256(b"".join(wire(stream(s, MINIMUM)).values())) for s in (seed, seed, seed + 1)
    ]
    assert made[0].digest() == made[1].digest()
    assert made[0].digest() != made[2].digest()


@pytest.mark.parametrize("lines", [MINIMUM, 60_001])
def test_every_line_comes_out_of_the_framing(seed: int, lines: int) -> None:
    """As many messages as lines, for all three framings, whatever the network cuts them into."""
    made = stream(seed, lines)
    for each in made.connections():
        framer = Framer("auto")
        found = 0
        for number, chunk in enumerate(each.chunks()):
            middle = number * 37 % (len(chunk.data) + 1)
            found += len(framer.feed(chunk.data[:middle])) + len(framer.feed(chunk.data[middle:]))
        assert framer.end() == []
        assert found == each.lines
        assert (framer.empty, framer.malformed) == (0, 0)
    assert sum(each.lines for each in made.connections()) == lines == made.expected.lines


def test_malformed_lines_fail_and_no_others(seed: int) -> None:
    """Exactly the malformed lines are failures; events hold the text of the others unaltered."""
    made = stream(seed, 60_000)
    raw = pl.Series(messages(made), dtype=pl.Binary)
    frame = pl.DataFrame({"row": np.arange(len(raw), dtype=np.uint32), "raw": raw})
    decoded = decode("qumulo", frame, {})
    assert decoded.failures.height == made.expected.malformed
    assert decoded.events.height == made.expected.events
    failed = raw.gather(decoded.failures["row"]).to_list()
    assert any(not _is_text(line) for line in failed)
    assert made.expected.malformed >= 3 * len(KINDS)
    whole = decoded.events["raw_data"].cast(pl.Binary)
    assert (whole == raw.gather(decoded.events["row"])).all()


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_event_times_are_nearly_in_order(seed: int) -> None:
    """Within a connection no event is more than two seconds behind the latest, so none is late."""
    for data in wire(stream(seed, 30_000)).values():
        raw = pl.Series(frames(data), dtype=pl.Binary)
        frame = pl.DataFrame({"row": np.arange(len(raw), dtype=np.uint32), "raw": raw})
        times = decode("qumulo", frame, {}).events["time"].to_numpy()
        assert (np.maximum.accumulate(times) - times).max() < 2_000
        assert times.min() > START_MS - 2_000
        assert times.max() <= START_MS + SPAN_MS


def processed(
    made: Stream, rules: RuleSet, *, events: bool = False, expose: frozenset[str] = frozenset()
) -> TopologyTestDriver:
    """The stream through the whole topology, each cluster on a partition of its own."""
    plan = Plan(
        names=NAMES,
        sources={"qumulo": SourcePlan("qumulo", "qumulo", LogSource("qumulo", "audit"))},
        tenants={"acme": TenantPlan("acme", frozenset({"qumulo"}), events=events)},
        origins={RAW: "AAAAAAAAAAA"},
        rules=rules,
        expose=expose,
    )
    partitions = {RAW: 3, NAMES.normalized("qumulo"): 3, NAMES.matches: 4}
    driver = TopologyTestDriver(steps(plan), partitions=partitions, max_batch=5_000)
    received = START_MS + SPAN_MS + 3_600_000
    for partition, data in enumerate(wire(made).values()):
        for line in frames(data):
            driver.pipe(RAW, line, timestamp=received, partition=partition)
    driver.run()
    driver.advance_wall_clock(received)
    driver.run()
    assert driver.counts["dead_letters"] == made.expected.malformed
    assert driver.counts["matches_late"] == 0
    return driver


def alerts(made: Stream, rules: RuleSet) -> list[dict[str, Any]]:
    """Final alerts of the whole topology."""
    driver = processed(made, rules)
    found = [orjson.loads(record.value or b"") for record in driver.read(NAMES.alerts("acme"))]
    return [each for each in found if each["unmapped"]["state"] == "final"]


@pytest.mark.parametrize(("step", "lines"), [(0, 60_000), (1, 60_000), (2, MINIMUM), (3, MINIMUM)])
def test_each_incident_is_one_alert_and_there_is_no_other(
    rules: RuleSet, seed: int, step: int, lines: int
) -> None:
    """Whatever the seed and length, the final alerts are exactly the planted incidents."""
    made = stream(seed * 1000 + step, lines)
    found = Counter(
        (
            each["finding_info"]["title"],
            tuple(map(str, each["unmapped"].get("group", {}).values())),
            each["count"],
        )
        for each in alerts(made, rules)
    )
    expected = Counter((each.rule, each.group, each.count) for each in made.expected.incidents)
    assert expected == found


def test_an_exposed_boundary_changes_nothing(rules: RuleSet, seed: int) -> None:
    """With CSV and JSON bodies, odd bytes and attacks, two agents write the bytes that one does."""
    made = stream(seed, MINIMUM)
    fused, cut = (
        processed(made, rules, events=True, expose=expose)
        for expose in (frozenset[str](), frozenset({"normalized"}))
    )
    for topic in (NAMES.events("acme"), NAMES.dead_letters):
        one, two = (Counter((r.key, r.value) for r in run.read(topic)) for run in (fused, cut))
        assert one == two
        assert one.total() > 0
    one, two = (
        sorted(r.value or b"" for r in run.read(NAMES.alerts("acme")) if b'"final"' in r.value)
        for run in (fused, cut)
    )
    assert one == two
    assert len(one) == len(made.expected.incidents)


UNPLANTED = {
    "Access token or S3 key created",
    "Administrative rights given on the cluster",
    "Canary path touched",
    "Files created under an unusual extension while documents are deleted",
    "Local user or group of the cluster changed",
    "Mass read by one NFS client",
    "Mass read by one user",
    "Mass rename that appends a new extension to each file",
    "Owner or permissions of many files changed",
    "Same README file created in many directories",
    "Share, export or bucket created",
    "Snapshot removed, then a directory tree deleted",
}


def test_incidents_cover_the_shipped_rules(rules: RuleSet) -> None:
    """Every shipped rule has an incident in the stream, or is known to have none there."""
    titles = {each.rule for each in stream(1, MINIMUM).expected.incidents}
    alerting = {each.rule.title for each in rules.rules.events if each.alerts}
    alerting |= {each.rule.title for each in rules.rules.correlations if each.alerts}
    assert titles == alerting - UNPLANTED
    assert alerting >= UNPLANTED
    assert LONGEST_S < 60


def test_noise_stays_clear_of_thresholds_on_a_fast_stream(seed: int) -> None:
    """A minute of 200,000 lines holds no more counted records a person than a slow one."""
    made = stream(seed, 200_000, span_ms=60_000)
    planted = {each.group[0] for each in made.expected.incidents if each.group}
    raw = pl.Series(messages(made), dtype=pl.Binary)
    frame = pl.DataFrame({"row": np.arange(len(raw), dtype=np.uint32), "raw": raw})
    events = decode("qumulo", frame, {}).events.filter(~pl.col("@user").is_in(planted))
    ok = pl.col("@status") == "ok"
    deletes = events.filter((pl.col("@operation") == "fs_delete") & ok)["@user"].value_counts()
    assert deletes["count"].max() <= 60  # the near miss
    denied = events.filter(pl.col("@status").str.contains("access|denied|read_only|unauthorized"))
    assert denied["@user"].value_counts()["count"].max() <= 15


def test_addresses_have_partitions_of_their_own() -> None:
    """With the demo's six partitions no two clusters share one, so none makes another late."""
    taken = {_murmur2(each.address.encode()) % 6 for each in CLUSTERS}
    assert len(taken) == len(CLUSTERS)


def _murmur2(data: bytes) -> int:
    """Kafka's partitioner hash (org.apache.kafka.common.utils.Utils.murmur2), made positive."""
    mix, mask = 0x5BD1E995, 0xFFFFFFFF
    value = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mix & mask
        word = (word ^ word >> 24) * mix & mask
        value = value * mix & mask ^ word
    if rest := data[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * mix & mask
    value = (value ^ value >> 13) * mix & mask
    return (value ^ value >> 15) & 0x7FFFFFFF


def test_dictionaries_know_the_people(tmp_path: Path, seed: int) -> None:
    """assets.csv and departments.csv have each key once, and match what events hold."""
    made = stream(seed, MINIMUM)
    made.write_dictionaries(tmp_path)
    assets = pl.read_csv(tmp_path / "assets.csv")
    departments = pl.read_csv(tmp_path / "departments.csv")
    assert assets["ip"].is_unique().all()
    assert departments["user"].is_unique().all()
    raw = pl.Series(messages(made), dtype=pl.Binary)
    frame = pl.DataFrame({"row": np.arange(len(raw), dtype=np.uint32), "raw": raw})
    events = decode("qumulo", frame, {}).events
    assert events["src_endpoint.ip"].is_in(assets["ip"].implode()).mean() > 0.95
    assert events["actor.user.name"].is_in(departments["user"].implode()).mean() > 0.85
