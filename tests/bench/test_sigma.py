"""The benchmark of detection: its data, and the streams that it makes."""

from pathlib import Path

import pytest

from bench.options import Options
from bench.sigma_correlations import throughput
from bench.sigma_data import events_of, extended, folders_of, rules_of

EVENT = {"Image": "C:\\Windows\\System32\\cmd.exe", "CommandLine": "cmd /c echo 17", "User": "a"}


def test_says_what_to_fetch(tmp_path: Path) -> None:
    """Without rules or events there is no traceback but what to fetch and where to name it."""
    absent = Options(sigma_rules=tmp_path / "rules.tar.xz", sysmon_events=tmp_path / "e.ndjson")
    with pytest.raises(RuntimeError, match=r"SigmaHQ/sigma.*--sigma-rules"):
        rules_of(absent, tmp_path)
    with pytest.raises(RuntimeError, match=r"event 1.*--sysmon-events"):
        events_of(absent)
    with pytest.raises(RuntimeError, match="a checkout of SigmaHQ/sigma"):
        folders_of(tmp_path)


def test_events_are_those_of_the_seed(seed: int) -> None:
    """The same seed gives the same events; command lines hardly repeat, and nothing else varies."""
    made = extended([EVENT], 500, seed)
    assert made == extended([EVENT], 500, seed)
    assert made != extended([EVENT], 500, seed + 1)
    assert len({event["CommandLine"] for event in made}) > 250
    assert {event["Image"] for event in made} == {EVENT["Image"]}
    assert EVENT["CommandLine"] == "cmd /c echo 17"


@pytest.mark.parametrize("kind", ["event_count", "value_count", "temporal"])
def test_busy_groups_alone_fire(kind: str) -> None:
    """What is measured is a rule that fires for one group in a hundred, so it does its work."""
    found = throughput(kind, 20, 1_000, 200_000, seed=1)
    assert 1 <= found["alerts"] <= 1_000
