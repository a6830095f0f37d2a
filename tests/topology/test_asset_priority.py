"""What assets add to the severity of alerts: levels by name and by number, the greatest of several,
and never less than the rule says."""

from dataclasses import replace

import numpy as np
import orjson
import polars as pl
import pytest

from topology.asset_priority import PRIORITY, level_of, with_priority
from topology.correlate.marks import greatest, marked
from topology.findings import alert_uid
from topology.northbound.finding import encode
from topology.rules import Alert, Rule
from topology.uid import ordered, shape

ALERT = Alert("u", "acme", Rule("r", "R", "medium"), "event", "final", 1, 1, 1, 1, uids=("e",))


@pytest.mark.parametrize(
    ("cell", "level"),
    [
        ("0", "low"),
        ("3.9", "low"),
        ("4", "medium"),
        ("7", "high"),
        ("8", "high"),
        (" 9 ", "critical"),
        ("10", "critical"),
        ("Critical", "critical"),
        ("informational", "informational"),
        ("11", None),
        ("-1", None),
        ("nan", None),
        ("very high", None),
        ("", None),
    ],
)
def test_levels(cell: str, level: str | None):
    """Names in any case, and the bands of CEF; what is neither says nothing."""
    assert level_of(cell) == level


def test_the_greatest_of_an_events_assets():
    """Whatever attribute was looked up, in whichever table; only rows that are asked for."""
    events = pl.DataFrame(
        {
            "enrichments[asset.src_endpoint.ip]:json": [
                '{"data":{"priority":"5"}}',
                '{"data":{"priority":9}}',
                None,
                '{"data":{"priority":9}}',
            ],
            "enrichments[host]:json": ['{"data":{"priority":"high"}}', '{"data":{}}', None, None],
        }
    )
    found = with_priority(events, np.arange(3))
    assert found[PRIORITY].to_list() == ["high", "critical", None, None]
    assert PRIORITY not in with_priority(events, np.array([2])).columns
    assert PRIORITY not in with_priority(events, np.zeros(0, np.int64)).columns


@pytest.mark.parametrize(
    ("priority", "severity"),
    [(None, "Medium"), ("low", "Medium"), ("critical", "Critical"), ("odd", "Medium")],
)
def test_severity(priority: str | None, severity: str):
    """Never below the rule's level, which is told beside it."""
    shown = {} if priority is None else {"priority": priority}
    found = orjson.loads(encode(replace(ALERT, evidence=(shown,)), "1"))
    assert found["severity"] == severity
    assert found["unmapped"]["rule"]["level"] == "medium"


def test_uids_of_matches():
    """The mark changes neither the order of matches of one time nor the uid of their alert."""
    uids = ["k-0-9~4", "k-0-10", "k-0-999", "k-0-11~0"]
    assert sorted(uids, key=ordered) == ["k-0-9~4", "k-0-10", "k-0-11~0", "k-0-999"]
    assert shape("k-0-9~4") == shape("k-0-9") != shape("k-0-999")
    assert alert_uid(b"k", "k-0-9~4") == alert_uid(b"k", "k-0-9")
    assert greatest(uids) == "critical"
    assert greatest(["k-0-10"]) is None
    events = pl.DataFrame({"metadata.uid": ["a", "b"], PRIORITY: ["high", None]})
    found = marked(events, events, [np.array([0, 1])], ())
    assert found["metadata.uid"].to_list() == ["a~3", "b"]
