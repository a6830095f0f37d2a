"""Workload S is what job S and its rules in both systems rely on."""

import math
import re
from collections import Counter

import polars as pl
import pytest

from bench import files, job_s
from bench.options import Options
from bench.workload import LINES, SPAN_MS

BASE_MS = 1_769_522_400_000
SMALL = 120_000
SPAN = 5 * 60_000
LINE = re.compile(rb'<14>1 (\S+) \S+ qumulo - - - [^,]*,"[^"]*",[^,]*,([^,]*),[^,]*,\d+,"(.*)","')


@pytest.fixture(scope="module")
def touches() -> pl.DataFrame:
    """Path and time (ms) of each line of two passes that counts, in the order of the lines."""
    made = files.generate(1, BASE_MS, SMALL)
    rows = []
    for number in range(2):
        for line in made.lines(number):
            found = LINE.match(line)
            assert found is not None
            time, operation, path = (part.decode() for part in found.groups())
            if operation in files.TOUCHES:
                rows.append((path, time))
    frame = pl.DataFrame(rows, schema=["path", "time"], orient="row")
    return frame.with_columns(pl.col("time").str.to_datetime(time_zone="UTC").dt.epoch("ms"))


def test_every_second_line_touches_one_of_many_files(touches: pl.DataFrame) -> None:
    """Half of the lines; the files are as many as there may be, and are touched alike."""
    assert touches.height / (2 * SMALL) == pytest.approx(0.5, abs=0.01)
    counts = Counter(touches["path"].to_list())
    others = [count for path, count in counts.items() if not path.startswith("/share/busy/")]
    # One pass has 60,000 of them at random, and the second has the same.
    assert len(others) / files.FILES == pytest.approx(1 - math.exp(-0.6), abs=0.02)
    assert max(others) < files.THRESHOLD


def test_the_alerts_due_are_those_of_sliding_windows(touches: pl.DataFrame) -> None:
    """Looked at anew: each event that is the first to have as many in the five minutes up to it."""
    due = set()
    for (path,), own in touches.sort("time").group_by("path"):
        times = own["time"].to_list()
        for last in range(files.THRESHOLD - 1, len(times)):
            if times[last] - times[last - files.THRESHOLD + 1] < SPAN:
                due.add((path, times[last]))
    made = files.generate(1, BASE_MS, SMALL)
    assert due == made.alerts(2)
    assert len(due) == 2 * files.BUSY


def test_alerts_are_final_before_the_pass_ends() -> None:
    """An alert is final five minutes after its event, and the watermark is 30 s late."""
    made = files.generate(1, BASE_MS, SMALL)
    latest = max(time for _, time in made.alerts(1))
    assert latest + SPAN + 30_000 < BASE_MS + SPAN_MS - 4_000


def test_the_rule_counts_what_the_workload_holds() -> None:
    """Operations and threshold are the same in the rule and in the lines."""
    text = (job_s.RULES / "busy_file.yml").read_text(encoding="utf-8")
    assert f"gte: {files.THRESHOLD}" in text
    assert set(re.findall(r"- (fs_\w+)", text)) == set(files.TOUCHES)


def test_events_are_whole_passes() -> None:
    """As many passes as the number of events asks for, or fewer lines than one has."""
    assert Options().passes(3_000_000) == (3, LINES)
    assert Options(events=10_000_000).passes(3_000_000) == (10, LINES)
    assert Options(events=200_000).passes(3_000_000) == (1, 200_000)
    assert Options(lines=200_000).passes(3_000_000) == (3, 200_000)
    assert Options().complete
    assert not Options(events=10_000_000).complete
