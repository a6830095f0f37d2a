"""Figures are what /proc says, and build/bench.json has its one form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import Measurement, Sample, Watch, reap, write

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True); input()"


def test_the_form_of_the_results(tmp_path: Path) -> None:
    """A list of case, system, metric, value; a newer figure takes the place of the older."""
    path = tmp_path / "build" / "bench.json"
    write([Measurement("job-j", "northbound", "p50_ms", 80.0)], path)
    write(
        [
            Measurement("job-j", "northbound", "p50_ms", 70.5),
            Measurement("job-j", "kafka-streams-eos", "p50_ms", 72.0),
        ],
        path,
    )
    assert json.loads(path.read_text()) == [
        {"case": "job-j", "system": "northbound", "metric": "p50_ms", "value": 70.5},
        {"case": "job-j", "system": "kafka-streams-eos", "metric": "p50_ms", "value": 72.0},
    ]


def test_the_cost_of_a_life() -> None:
    """CPU time covers the whole life of a process and its children; memory is its peak."""
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    watch = Watch(process.pid)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"done\n"
    watch.sample(1)
    process.stdin.close()
    status, cpu = reap(process.pid, 120)
    process.returncode = status
    process.stdout.close()
    assert watch.samples[0].cpu >= 0.28
    assert watch.samples[0].cpu - 0.05 <= cpu < 20
    assert 5_000 < watch.peak_kb < 500_000


def test_steady_state_is_the_second_half() -> None:
    """Start-up before half of the events and the end after 98 % do not count."""
    watch = Watch(os.getpid())
    progress = [(0, 5.0), (400, 9.0), (500, 9.5), (900, 11.5), (1_000, 20.0)]
    watch.samples = [Sample(done, cpu, 0.0) for done, cpu in progress]
    assert watch.steady_us_per_event() == pytest.approx(2.0 / 400 * 1e6)
    watch.samples = watch.samples[:2] + watch.samples[-1:]
    assert watch.steady_us_per_event() is None
