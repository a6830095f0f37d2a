"""The default pipeline with everything in it, exactly once, on workload W.

Qumulo's normalizer, 20 filters, two dictionaries, locations, a threat list of 100,000 indicators
and one tenant: at most LIMIT_US of CPU an event, whole life. Then the same with the shipped rules,
of which two events in five make a match that is counted behind the repartition hop: reads.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import side_by_side, tables, workload
from bench.options import Options
from bench.side_by_side import Load
from bench.systems import SOURCE, Job, Northbound, Setup

EVENTS = 3_000_000
LIMIT_US = 12.0
RULES = Path(__file__).parents[1] / "rules" / "qumulo"
FILTERS = (
    *({"actor.user.name": f"svc-scanner{number}"} for number in range(6)),
    *({"file.path|startswith": f"/scratch{number}/"} for number in range(4)),
    *({"file.path|endswith": f".{ending}"} for ending in ("swp", "lck", "part", "crdownload")),
    {"src_endpoint.ip|cidr": ["10.250.0.0/16", "2001:db8:ffff::/48"]},
    {"src_endpoint.ip|cidr": "192.168.0.0/16"},
    {"file.path|contains": "/.snapshot/"},
    {"file.path|re": r"/~\$[^/]+\.(doc|xls)x?$"},
    {"@operation": "fs_read_metadata", "file.path|startswith": "/monitoring/"},
    {"@operation": "fs_list_directory", "actor.user.name|contains": "$backup"},
)
"""Each drops what W does not have, so that the events are counted as those of job J are; an event
passes all of them, which is the dearest way."""


@dataclass(frozen=True)
class NoAlerts:
    """W without what there is to alert about: which of the shipped rules fire is not compared."""

    workload: workload.Workload

    def lines(self, number: int = 0) -> list[bytes]:
        return self.workload.lines(number)

    def alerts(self, _: int) -> set[tuple[str, int]]:
        return set()


class Pipeline(Northbound):
    """The product's own worker, with filters, locations and threats beside the dictionaries."""

    def __init__(self, name: str, rules: Path | None = None) -> None:
        super().__init__(JOB, rules)
        self.name = name

    def prepare(self, setup: Setup) -> None:
        tables.threats(setup.folder)
        tables.locations(setup.folder)
        super().prepare(setup)

    def config(self, setup: Setup) -> dict[str, Any]:
        """Its northbound.yaml."""
        config = super().config(setup)
        config["sources"][SOURCE]["filters"] = [
            {"name": f"filter{number}", "drop": {"it": condition}}
            for number, condition in enumerate(FILTERS)
        ]
        config["enrich"] += [
            {"geoip": str(setup.folder / "city.mmdb"), "field": "src_endpoint.ip"},
            {"threats": str(setup.folder / "threats.csv"), "as": "threat"},
        ]
        return config


JOB = Job("pipeline", ours=lambda _: None, main="", repartition="", theirs=lambda _: ("", 0))


def run(options: Options) -> int:
    """The whole case: 0 when every event was written once, the same ones by both, 1 when not."""
    seed, passes, lines = options.seed, *options.passes(EVENTS)
    made = NoAlerts(workload.generate(seed, side_by_side.base_ms(passes), lines))
    dictionaries = {"assets": workload.assets(seed), "departments": workload.departments(seed)}
    load = Load(made, passes, passes * lines, dictionaries)
    systems = [Pipeline("northbound"), Pipeline("northbound-with-rules", RULES)]
    return side_by_side.run(JOB, load, options, systems, limits_us={"northbound": LIMIT_US})
