"""A process that takes over a store's partitions and prints what it cost, as JSON."""

import ctypes
import gc
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.runtime.engine import Engine
from app.runtime.settings import EngineSettings
from app.runtime.watchdog import Watchdog
from topology.alerts import AlertsSubTopology
from topology.records import KeyValueStore, Position
from topology.rules import Correlation, EventRule, LogSource, Rule, Rules
from topology.topics import Names, Partition

TENANT = "acme"
RULE = "5ad3c1f2-6b3e-4f0a-9c1d-2e7f8a9b0c1d"
READY_S = 180.0


class Measured(AlertsSubTopology):
    """Times the take-over."""

    seconds = 0.0

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],
    ) -> None:
        started = time.monotonic()
        super().assign(positions, stores)
        self.seconds = time.monotonic() - started


def main(options: dict[str, Any]) -> None:
    """Run an engine until it is ready."""
    state = Path(options["state"])
    state.mkdir(parents=True, exist_ok=True)
    sub_topology = Measured(rules(), (), Names("state-"), {TENANT: {"nas"}}, {"nas": None})
    settings = EngineSettings(
        name="alerts",
        group=options["group"],
        topics=(options["topic"],),
        instance=options["group"],
        client=options["client"],
        changelogs={"alerts": options["changelog"]},
        state=state,
        store=options["store"],
        session_timeout=10.0,
        static=False,
    )
    engine = Engine(settings, sub_topology, watchdog=Watchdog())
    engine.start()
    deadline = time.monotonic() + READY_S
    while not engine.statistics.ready:
        engine.turn()
        if time.monotonic() > deadline:
            sys.exit(f"not ready within {READY_S:g} s")
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    resident = _resident()
    restore = engine.statistics.restore
    print(
        json.dumps(
            {
                "entries": restore.keys,
                "records": restore.records,
                "restore": round(restore.seconds, 3),
                "seconds": round(restore.seconds + sub_topology.seconds, 3),
                "resident": resident,
            }
        )
    )
    engine.stop()


def rules() -> Rules:
    """Those whose state it is: a count by user."""
    base = EventRule(Rule("base", "One", "low"), LogSource(), (), alerts=False)
    rule = Correlation(
        rule=Rule(RULE, "Many", "high"),
        type="event_count",
        members=(0,),
        group_by=("user",),
        group_columns=((("user",),),),
        value_columns=((),),
        timespan_ms=300_000,
        suppress_ms=300_000,
        operator="gte",
        count=3,
    )
    return Rules(events=(base,), correlations=(rule,))


def _resident() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
