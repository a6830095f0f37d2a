"""Job J on workload W: the product's worker and Kafka Streams, both exactly once, compared."""

from pathlib import Path
from typing import Any

from bench import alert_latency, latency, side_by_side, workload
from bench.options import Options
from bench.side_by_side import Bench, Load
from bench.systems import Job, KafkaStreams, Northbound, System

EVENTS = 3_000_000
RULES = Path(__file__).with_name("rules") / "j"


def _window(finding: Any) -> tuple[str, int]:
    """User as logged and start of the window."""
    (user,) = finding["unmapped"]["group"].values()
    return user, finding["start_time"]


JOB = Job(
    "job-j",
    ours=_window,
    main="jobj.JobJ",
    repartition="deletes",
    theirs=lambda alert: (alert["user"], alert["window"]),
    config={
        "aggregate": [
            {
                "name": "deletes",
                "select": {"@operation": "fs_delete"},
                "by": ["@user"],
                "window": "5m",
                "grace": "1h",
                "alert": {"at": 100, "title": "Mass delete by a user"},
            }
        ],
    },
)


def run(options: Options) -> int:
    """The whole case: 0 when both systems told the same, 1 when not."""
    seed, passes, lines = options.seed, *options.passes(EVENTS)
    load = Load(
        workload.generate(seed, side_by_side.base_ms(passes), lines),
        passes,
        passes * lines,
        {
            "assets": workload.assets(seed),
            "departments": workload.departments(seed),
            "extensions": workload.extensions(),
        },
    )

    def more(bench: Bench, system: System) -> dict[str, float]:
        """Latency at a steady rate: of events, and of the product's provisional alerts."""
        found = {}
        setup = bench.setup(system, "latency")
        found["p50_ms"], found["p99_ms"] = latency.measure(system, setup, load.workload.lines())
        bench.cluster.remove(setup.prefix)
        if isinstance(system, Northbound):
            alerting = Northbound(JOB, RULES)
            setup = bench.setup(alerting, "alert-latency")
            found["alert_p50_ms"], found["alert_p99_ms"] = alert_latency.measure(
                alerting, setup, load.workload.lines()
            )
            bench.cluster.remove(setup.prefix)
        return found

    return side_by_side.run(JOB, load, options, [Northbound(JOB), KafkaStreams(JOB)], more)
