"""`python -m bench [--case NAME] [--seed N] [--runs N]`: benchmarks, into build/bench.json."""

import argparse
import importlib
import signal
import sys
from pathlib import Path

from app.broker.errors import BrokerError
from bench.options import Options
from bench.workload import LINES

CASES = {
    "job-j": "bench.job_j",
    "job-s": "bench.job_s",
    "pipeline": "bench.pipeline",
    "commit": "bench.commit",
    "ingest": "bench.ingest",
    "deliveries": "bench.deliveries",
    "northbound": "bench.northbound",
    "state": "bench.state",
    "normalizers": "bench.normalizers",
    "sigma": "bench.sigma",
    "lists": "bench.lists",
    "benign": "bench.benign",
}
"""Each case's module has `run(options: Options) -> int`: 0, or 1 when a check failed. It writes its
figures with bench.measure.write."""


def main() -> int:
    """Run one case or all; 0 when every check of every case passed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks.")
    parser.add_argument("--case", choices=sorted(CASES), help="default: all")
    parser.add_argument("--seed", type=int, default=1, help="changes the workload (default 1)")
    parser.add_argument("--runs", type=int, default=1, help="the best of so many runs counts")
    parser.add_argument(
        "--lines", type=int, default=LINES, help="a smaller workload, for a look: writes no figures"
    )
    parser.add_argument(
        "--events", type=int, help="so many events in all instead of the case's own number"
    )
    parser.add_argument(
        "--systems", default="", help="run these alone, such as northbound; writes no figures"
    )
    parser.add_argument(
        "--sigma-rules", type=Path, help="a checkout of SigmaHQ/sigma, or a .tar.xz of its rules"
    )
    parser.add_argument(
        "--sysmon-events", type=Path, help="Sysmon's process creation events as JSON lines"
    )
    arguments = parser.parse_args()
    # So that what was started is stopped, too, when this process is told to end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = Options(
        arguments.seed,
        max(1, arguments.runs),
        arguments.lines,
        arguments.events,
        tuple(filter(None, arguments.systems.split(","))),
        arguments.sigma_rules,
        arguments.sysmon_events,
    )
    failed = []
    for case in [arguments.case] if arguments.case else list(CASES):
        module = importlib.import_module(CASES[case])
        try:
            if module.run(options):
                failed.append(f"{case}: a check failed, see above")
        except (BrokerError, RuntimeError, TimeoutError) as error:
            failed.append(f"{case}: {error}")
        except KeyboardInterrupt:
            failed.append(f"{case}: interrupted")
            break
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
