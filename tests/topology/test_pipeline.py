"""The pipeline as data: it can be read top to bottom, and the pure part stays pure."""

import subprocess
import sys

from topology.pipeline import PIPELINE

IO_LIBRARIES = {"faust", "confluent_kafka", "aiokafka", "asyncio", "aiohttp", "uvloop"}


def test_every_node_reads_only_what_stands_above_it() -> None:
    """File order is data-flow order; raw topics are the source."""
    written = {"raw.<source>"}
    for node in PIPELINE:
        assert set(node.reads) <= written, node.name
        written |= set(node.writes)


def test_importing_the_topology_loads_no_input_or_output_library() -> None:
    """Rules and normalizers can be tested, and replayed, where there is no Kafka."""
    code = "import sys, topology.pipeline; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert not IO_LIBRARIES & set(done.stdout.split())
