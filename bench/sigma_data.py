"""Rules and events that `bench --case sigma` works on; none of them is in the repository."""

import json
import lzma
import os
import re
import tarfile
from pathlib import Path
from random import Random
from typing import Any

from bench.options import Options

DATA = Path(os.environ.get("NORTHBOUND_DATA", Path(__file__).parents[2] / "shared" / "data"))
RULES = "sigmahq_rules.tar.xz"
EVENTS = "process_creation_events.ndjson.xz"
VARIED = ("CommandLine", "ParentCommandLine")
DIGITS = re.compile(r"\d+")
NEW_DIGITS, NEW_ARGUMENT = 0.9, 0.5


def rules_of(options: Options, folder: Path) -> Path:
    """SigmaHQ's rules below a folder: the checkout itself, or the archive unpacked into `folder`.

    Raises RuntimeError that says what to fetch.
    """
    given = options.sigma_rules or DATA / RULES
    if given.is_dir():
        return given
    if not given.is_file():
        raise RuntimeError(
            f"no Sigma rules at {given}: fetch the repository SigmaHQ/sigma from GitHub and name "
            f"the checkout, or a .tar.xz of its folders rules*, with --sigma-rules PATH, or put "
            f"it as {RULES} into the folder that NORTHBOUND_DATA names"
        )
    with tarfile.open(given) as archive:
        archive.extractall(folder, filter="data")
    return folder


def folders_of(checkout: Path) -> list[Path]:
    """The folders with active rules: rules, rules-emerging-threats, rules-threat-hunting, ..."""
    found = sorted(path for path in checkout.glob("rules*") if path.is_dir())
    if not found:
        raise RuntimeError(f"no folder rules* in {checkout}, expected a checkout of SigmaHQ/sigma")
    return found


def events_of(options: Options) -> list[dict[str, Any]]:
    """Sysmon's process creation events under Sigma's field names.

    Raises RuntimeError that says what to fetch.
    """
    given = options.sysmon_events or DATA / EVENTS
    if not given.is_file():
        raise RuntimeError(
            f"no events at {given}: name JSON lines (.xz or not) of Sysmon's event 1 under "
            "Sysmon's field names, such as those in EVTX-ATTACK-SAMPLES and Security-Datasets, "
            f"with --sysmon-events PATH, or put them as {EVENTS} into the folder that "
            "NORTHBOUND_DATA names"
        )
    opened = lzma.open if given.suffix == ".xz" else open
    with opened(given, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def extended(events: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """So many events, drawn from the real ones, with command lines that hardly ever repeat: numbers
    are drawn anew, and every second line has an argument more."""
    random = Random(seed)
    out = []
    for _ in range(count):
        event = dict(random.choice(events))
        for name in VARIED:
            if event.get(name):
                event[name] = _varied(event[name], random)
        out.append(event)
    return out


def _varied(line: str, random: Random) -> str:
    if random.random() < NEW_DIGITS:
        line = DIGITS.sub(
            lambda found: "".join(random.choices("0123456789", k=len(found[0]))), line
        )
    if random.random() < NEW_ARGUMENT:
        number = random.getrandbits(32)
        path = f"C:\\Users\\user{number % 97}\\AppData\\Local\\Temp\\{number:08x}.tmp"
        line += " " + random.choice((path, str(number), f"-id {number:08x}"))
    return line
