"""Detection: single-event rules beside rsigma, what more rules cost, and correlations.

Each part runs in a process of its own on one thread; all figures are CPU time, the best of several
rounds over the same events. SigmaHQ's rules on Windows process creation meet Sysmon's events, which
are parsed before the measured part, for both engines. What the other parts measure is said in
bench/sigma_scale.py and bench/sigma_correlations.py.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from app.rules import load_rules
from bench.measure import Measurement, show, write
from bench.options import Options
from bench.peers import cargo
from bench.sigma_correlations import CONTENTS
from bench.sigma_data import events_of, extended, folders_of, rules_of
from bench.sigma_match import PROCESS_CREATION
from bench.sigma_scale import MANY, rules_for_qumulo

CASE = "sigma"
EVENTS = 100_000
LARGE, SMALL = 10_000, 1_000
PEER_OPTIONS: dict[str, tuple[str, ...]] = {"rsigma": (), "rsigma-bloom": ("bloom",)}
AT_LEAST = {
    f"events_per_s_{LARGE}": 55_000.0,
    f"events_per_s_{SMALL}": 25_000.0,
    "times_rsigma": 2.0,
    "event_count_per_s": 500_000.0,
    "value_count_per_s": 200_000.0,
    "temporal_per_s": 200_000.0,
}
AT_MOST = {
    "100_rules_to_1": 1.3,
    "all_rules_to_100": 2.0,
    "start_s": 1.0,
    "bytes_a_group": 1_000.0,
    **{f"{kind}_growth": 1.5 for kind in ("event_count", "value_count", "temporal")},
}
"""`growth`: of what a match costs, from the smallest window to one with fifty times as much."""
SHOWN = 10
console = Console(highlight=False, soft_wrap=True)


def run(options: Options) -> int:
    """The whole case: 0 when every bar is reached and both engines found the same."""
    Path("build").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="sigma-", dir="build")).absolute()
    try:
        figures, failed = _Bench(options, scratch).measure()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    show(CASE, figures)
    load = os.getloadavg()
    console.print(f"load average {load[0]:.1f}, {load[1]:.1f} over 5 minutes")
    for line in failed:
        console.print(line)
    if options.complete and not options.systems:
        write(figures)
    return 1 if failed else 0


class _Bench:
    """Prepares what the processes read, and starts them."""

    def __init__(self, options: Options, scratch: Path) -> None:
        self._options = options
        self._scratch = scratch
        self._events = options.events or EVENTS

    def measure(self) -> tuple[list[Measurement], list[str]]:
        """The figures, and what is wrong with them."""
        folders = folders_of(rules_of(self._options, self._scratch / "checkout"))
        folders = [rules_for_qumulo(self._scratch / "qumulo", MANY), *folders]
        rules = load_rules(folders, self._scratch / "cache")
        chosen = self._scratch / "process_creation"
        chosen.mkdir()
        for number, entry in enumerate(rules.rules.events):
            if entry.logsource == PROCESS_CREATION:
                path = Path(entry.rule.path)
                shutil.copy(path, chosen / f"{number:05}_{path.name}")
        made = extended(events_of(self._options), self._events, self._options.seed)
        events = self._scratch / "events.ndjson"
        with events.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(event) + "\n" for event in made)
        figures, others, failed = self._engines(chosen, events)
        figures |= self._scale(folders)
        figures |= self._correlations()
        failed += [
            f"northbound: {metric} is {figures[metric]:,.2f}, expected at least {limit:,.2f}"
            for metric, limit in AT_LEAST.items()
            if figures[metric] < limit
        ]
        failed += [
            f"northbound: {metric} is {figures[metric]:,.2f}, expected at most {limit:,.2f}"
            for metric, limit in AT_MOST.items()
            if figures[metric] > limit
        ]
        own = [Measurement(CASE, "northbound", *figure) for figure in figures.items()]
        return [*own, *others], failed

    def _scale(self, folders: Sequence[Path]) -> dict[str, float]:
        """What more rules cost, and a start with all of them."""
        arguments = [str(self._scratch / "cache"), *map(str, folders)]
        module = [sys.executable, "-m", "bench.sigma_scale", *arguments]
        started = _told([*module, "--start"])
        lines = ["--lines", str(3 * self._events), "--seed", str(self._options.seed)]
        told = _told([*module, *lines])
        return {
            "100_rules_to_1": told["us_100"] / told["us_1"],
            "all_rules_to_100": told["us_all"] / told["us_100"],
            **{f"us_{name}_rules": told[f"us_{name}"] for name in ("none", "1", "100", "all")},
            **{f"match_us_{name}_rules": told[f"match_us_{name}"] for name in ("1", "100", "all")},
            "start_s": started["start_s"],
            "first_match_s": started["first_match_s"],
            "rules_at_start": started["rules"],
        }

    def _correlations(self) -> dict[str, float]:
        module = [sys.executable, "-m", "bench.sigma_correlations"]
        module += ["--seed", str(self._options.seed)]
        count = 4 * self._events
        runs = [_told([*module, "--matches", str(count)]) for _ in range(self._options.runs)]
        figures: dict[str, float] = {}
        for name in runs[0]:
            figures[name] = (max if name.endswith("_per_s") else min)(each[name] for each in runs)
        for kind in ("event_count", "value_count", "temporal"):
            least, *_, most = (figures[f"{kind}_us_with_{content}"] for content in CONTENTS)
            figures[f"{kind}_growth"] = most / least
        figures |= _told([*module, "--memory"])
        return figures

    def _engines(
        self, rules: Path, events: Path
    ) -> tuple[dict[str, float], list[Measurement], list[str]]:
        """Our rates, what else there is to show, and where the engines differ."""
        program = cargo.build("rsigma")
        ours: list[dict[str, Any]] = []
        theirs: dict[str, list[dict[str, Any]]] = {name: [] for name in PEER_OPTIONS}
        for _ in range(self._options.runs):
            module = [sys.executable, "-m", "bench.sigma_match", str(rules), str(events)]
            ours.append(_told([*module, str(self._scratch / "northbound.tsv")]))
            for name, flags in PEER_OPTIONS.items():
                pairs = self._scratch / f"{name}.tsv"
                theirs[name].append(
                    _told([str(program), str(rules), str(events), str(pairs), *flags])
                )
        rate = {"northbound": {size: _best(ours, f"match_us_{size}") for size in (LARGE, SMALL)}}
        figures = {
            f"events_per_s_{size}": ours[0]["events"] / spent * 1e6
            for size, spent in rate["northbound"].items()
        }
        measurements = [
            Measurement(CASE, "northbound", "parse_us", _best(ours, f"parse_us_{LARGE}")),
            Measurement(CASE, "northbound", "rules", ours[0]["rules"]),
            Measurement(CASE, "northbound", "pairs", ours[0]["pairs"]),
        ]
        fastest = 0.0
        failed = []
        for name, told in theirs.items():
            per_s = told[0]["events"] / _best(told, "evaluate_us") * 1e6
            fastest = max(fastest, per_s)
            measurements += [
                Measurement(CASE, name, f"events_per_s_{LARGE}", per_s),
                Measurement(CASE, name, "parse_us", _best(told, "parse_us")),
                Measurement(CASE, name, "rules", told[0]["rules"]),
                Measurement(CASE, name, "pairs", told[0]["pairs"]),
            ]
            failed += self._differences(name)
        figures["times_rsigma"] = figures[f"events_per_s_{LARGE}"] / fastest
        if not all(each["cuts_agree"] for each in ours):
            failed.append("northbound: batches of other sizes gave other pairs")
        return figures, measurements, failed

    def _differences(self, peer: str) -> list[str]:
        """Pairs of rule and event that one engine found and the other did not."""
        own, other = (
            set((self._scratch / f"{name}.tsv").read_text(encoding="utf-8").splitlines())
            for name in ("northbound", peer)
        )
        return [
            f"{who} alone found {len(pairs)} pairs of rule and event, such as "
            + ", ".join(pair.replace("\t", " on line ") for pair in sorted(pairs)[:SHOWN])
            for who, pairs in (("northbound", own - other), (peer, other - own))
            if pairs
        ]


def _told(command: Sequence[str]) -> dict[str, Any]:
    """The JSON object that a process prints last."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _best(runs: Sequence[dict[str, Any]], name: str) -> float:
    return min(float(each[name]) for each in runs)
