"""docs/metrics.md names every metric of a worker, and none that there is not."""

import re
from pathlib import Path

from app.changes_metric import ChangesCollector
from app.lookup_thread import LookupCollector
from app.runtime.statistics import EngineCollector, EngineStatistics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_names_what_a_worker_shows() -> None:
    """A metric that is added or renamed is missed here."""
    collectors = (
        EngineCollector([EngineStatistics("events", "group")]),
        LookupCollector([]),
        ChangesCollector(list),
    )
    families = [family for each in collectors for family in each.collect()]
    shown = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    named = set(re.findall(r"`(northbound_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert named == shown
