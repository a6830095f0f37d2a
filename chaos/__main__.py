"""`python -m chaos [--case NAME] [--seed N] [--keep-topics]`: the experiments, one after another.

Prints a table and writes build/chaos.json; ends with status 0 only if every row balances.
"""

import argparse
import math
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from chaos.books import Row
from chaos.experiment import Experiment
from chaos.experiments import EXPERIMENTS
from chaos.process import ROOT
from chaos.rig import Rig
from chaos.table import Result, render

TOTAL_S = 40 * 60
"""All experiments together; what does not fit fails the run."""
CLOSING_S = 60.0
"""Kept for reading everything back, which no deadline interrupts."""


def run(
    name: str,
    experiment: Experiment,
    seed: int,
    folder: Path,
    *,
    keep: bool = False,
    scale: float = 1.0,
    until: float = math.inf,
) -> Result:
    """One experiment, from its start to its row; over at `until` on the monotonic clock."""
    started = time.monotonic()
    deadline = min(started + experiment.seconds, until)
    rig = Rig(folder, name, seed, replace(experiment.setup, scale=scale), deadline)
    false: list[str] = []
    try:
        rig.start()
        experiment.run(rig)
        if experiment.setup.settles:
            rig.settle()
        rig.verify()
        experiment.check(rig)
    except Exception as error:
        false.append(f"{type(error).__name__}: {error}")
        rig.say(traceback.format_exc())
    finally:
        false += [text for text, ok in rig.claims if not ok]
        keep = keep or bool(false) or not rig.row.balances
        rig.close(keep=keep)
    kept = f"topics and input are kept in {folder}" if keep else ""
    return Result(rig.row, time.monotonic() - started, rig.measured, false, kept)


def main() -> int:
    """Run what was asked for; 0 if every row balances and every claim holds."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--case", choices=sorted(EXPERIMENTS), help="default: all but the soak")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-topics", action="store_true", help="leave topics and input")
    parser.add_argument("--scale", type=float, default=1.0, help="of the senders' rates")
    parser.add_argument("--list", action="store_true", help="say what there is")
    given = parser.parse_args()
    if given.list:
        for name, experiment in EXPERIMENTS.items():
            print(f"{name:20} {experiment.what}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = [given.case] if given.case else [n for n, e in EXPERIMENTS.items() if not e.soak]
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    results: list[Result] = []
    skipped: list[str] = []
    over = time.monotonic() + TOTAL_S - CLOSING_S if len(chosen) > 1 else math.inf
    for name in chosen:
        experiment = EXPERIMENTS[name]
        if time.monotonic() > over:
            results.append(Result(Row(name, given.seed), 0.0, {}, ["no time was left"], ""))
            continue
        missing = experiment.setup.needs()
        if missing:
            skipped.append(f"not run: {name} needs {missing}")
            continue
        print(f"{name}: {experiment.what}", file=sys.stderr, flush=True)
        folder = build / "chaos" / name
        done = run(
            name,
            experiment,
            given.seed,
            folder,
            keep=given.keep_topics,
            scale=given.scale,
            until=over,
        )
        results.append(done)
        if len(chosen) > 1:
            print(render(results[-1:]), file=sys.stderr, flush=True)
        _write(build, results)
    print("\n".join([render(results), *skipped]))
    return 0 if results and all(each.good for each in results) else 1


def _write(build: Path, results: list[Result]) -> None:
    rows: list[dict[str, Any]] = [each.row.as_dict() for each in results]
    _json(build / "chaos.json", rows)
    _json(build / "chaos-measured.json", {each.row.case: each.measured for each in results})


def _json(file: Path, content: Any) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    fresh.replace(file)


if __name__ == "__main__":
    sys.exit(main())
