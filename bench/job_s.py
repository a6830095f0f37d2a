"""Job S on workload S: sliding counts in 100,000 groups, of every second event, in both systems.

Both hops: lines become events and matches, and matches are counted after a repartition by group,
exactly once and with a changelog. Kafka Streams counts and no more; Northbound also keeps the uid
of every match for its alerts.
"""

from pathlib import Path
from typing import Any

from bench import files, side_by_side
from bench.options import Options
from bench.side_by_side import Load
from bench.systems import Job, KafkaStreams, Northbound

EVENTS = 3_000_000
RULES = Path(__file__).with_name("rules") / "s"


def _crossing(finding: Any) -> tuple[str, int] | None:
    """Path and time of the event that made the count reach the threshold, of a final alert."""
    if finding["unmapped"]["state"] != "final":
        return None
    (path,) = finding["unmapped"]["group"].values()
    return path, finding["time"]


JOB = Job(
    "job-s",
    ours=_crossing,
    main="jobj.JobS",
    repartition="touches",
    theirs=lambda alert: (alert["path"], alert["time"]),
    config={"rules": [str(RULES)]},
    arguments=("memory",),
)


def run(options: Options) -> int:
    """The whole case: 0 when both systems told the same, 1 when not."""
    passes, lines = options.passes(EVENTS)
    made = files.generate(options.seed, side_by_side.base_ms(passes), lines)
    load = Load(made, passes, passes * lines)
    return side_by_side.run(JOB, load, options, [Northbound(JOB), KafkaStreams(JOB)])
