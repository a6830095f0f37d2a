"""The lines that measure the latency of alerts cross the rule's threshold where it is said to."""

from bench.alert_latency import DELETES, EVERY, LINE, bursts
from bench.job_j import RULES
from bench.sender import OBJECT
from bench.systems import PARTITIONS
from bench.workload import generate

BASE_MS = 1_769_522_400_000


def test_every_user_of_a_burst_deletes_as_often_as_the_rule_asks() -> None:
    """In order on one partition, among the other lines, with a place for the time of sending."""
    lines = generate(1, BASE_MS, 2_000).lines()
    changed = bursts(lines)
    own = [place for place, line in enumerate(changed) if LINE.search(line)]
    assert own == list(range(0, len(lines), EVERY))
    assert {place % PARTITIONS for place in own} == {0}
    users = [int(found[1]) for found in map(LINE.search, changed) if found]
    assert users == [number // DELETES for number in range(len(own))]
    assert all(OBJECT.search(line) for line in changed)
    assert f"gte: {DELETES}" in (RULES / "burst_of_deletes.yml").read_text(encoding="utf-8")
    times = [line.split(b" ")[1] for line in lines]
    assert [line.split(b" ")[1] for line in changed] == times
