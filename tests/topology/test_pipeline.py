"""The pipeline as data: it can be read top to bottom, and the pure part stays pure."""

import subprocess
import sys

import pytest

from topology.pipeline import pipeline
from topology.topics import BOUNDARIES

IO_LIBRARIES = {"faust", "confluent_kafka", "aiokafka", "asyncio", "aiohttp", "uvloop"}


@pytest.mark.parametrize("expose", [(), *((name,) for name in BOUNDARIES)])
def test_every_node_reads_only_what_stands_above_it(expose: tuple[str, ...]) -> None:
    """Order in the file is data-flow order; raw topics are the source."""
    written = {"raw.<source>"}
    for node in pipeline(expose):
        assert set(node.reads) <= written, node.name
        written |= set(node.writes)


def test_an_exposed_boundary_only_cuts_the_pipeline() -> None:
    """Whatever is exposed, the same stages run in the same order, and one group reads raw."""
    fused, cut = pipeline(), pipeline(BOUNDARIES)
    assert [stage for node in fused for stage in node.stages] == [
        stage for node in cut for stage in node.stages
    ]
    for nodes in (fused, cut):
        assert [node.group for node in nodes if node.reads == ("raw.<source>",)] == ["events"]
        assert len({node.group for node in nodes}) == len(nodes)


def test_importing_the_topology_loads_no_input_or_output_library() -> None:
    """Rules and normalizers can be tested, and replayed, where there is no Kafka."""
    code = "import sys, topology.pipeline; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert not IO_LIBRARIES & set(done.stdout.split())
