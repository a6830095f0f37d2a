"""Dictionary look-ups on events."""

import json

import polars as pl
import pytest

from topology.dimension import SMALL
from topology.enrich.dictionary import Dictionary
from topology.northbound import SERIALIZERS

ASSETS = [
    {"ip": "10.0.0.1", "owner": "eng", "site": "Zürich"},
    {"ip": "::1", "owner": "", "site": None, "rack": 7},
]


@pytest.fixture
def assets() -> Dictionary:
    return Dictionary("asset", "ip", "src_endpoint.ip", ASSETS)


@pytest.mark.parametrize("times", [1, SMALL])
def test_a_hit_adds_an_element_and_columns_for_rules(assets: Dictionary, times: int):
    """A miss and a missing address add nothing; empty cells are left out."""
    addresses = ["10.0.0.1", "10.0.0.2", None, "::1"] * times
    events = assets.apply(pl.DataFrame({"time": range(4 * times), "src_endpoint.ip": addresses}))
    assert events["@enrich.asset.owner"].to_list() == ["eng", None, None, None] * times
    assert events["@enrich.asset.rack"].to_list() == [None, None, None, "7"] * times
    written = [json.loads(text) for text in SERIALIZERS["ocsf-json"](events).to_list()]
    elements = [event.get("enrichments") for event in written]
    assert (
        elements
        == [
            [
                {
                    "name": "src_endpoint.ip",
                    "value": "10.0.0.1",
                    "type": "asset",
                    "data": {"owner": "eng", "site": "Zürich"},
                }
            ],
            None,
            None,
            [{"name": "src_endpoint.ip", "value": "::1", "type": "asset", "data": {"rack": 7}}],
        ]
        * times
    )


def test_code_columns_give_the_same(assets: Dictionary):
    """Looking up once per code is only quicker, also when filtering left gaps in the codes."""
    addresses = ["10.0.0.1", "::1", "10.0.0.9"] * SMALL
    codes = pl.Series("@source", [5, 900, 2] * SMALL, dtype=pl.UInt32)
    plain = pl.DataFrame({"src_endpoint.ip": addresses})
    seen = assets.apply(plain.with_columns(codes))
    columns = [name for name in assets.columns if name.startswith("enrich")]
    assert seen.select(columns).equals(assets.apply(plain).select(columns))


def test_events_without_the_field_stay_as_they_are(assets: Dictionary):
    """Not every source has addresses, and a batch may be empty."""
    for events in (
        pl.DataFrame({"time": [1]}),
        pl.DataFrame(schema={"src_endpoint.ip": pl.String}),
    ):
        assert assets.apply(events).equals(events)


def test_two_dictionaries_are_two_elements(assets: Dictionary):
    """In the order of their names, whichever was applied first."""
    people = Dictionary("person", "user", "@user", [{"user": "AD\\a", "dept": "x"}])
    events = pl.DataFrame({"src_endpoint.ip": ["10.0.0.1"], "@user": ["AD\\a"]})
    text = SERIALIZERS["ocsf-json"](assets.apply(people.apply(events))).item()
    elements = json.loads(text)["enrichments"]
    assert [element["type"] for element in elements] == ["asset", "person"]
    assert [element["name"] for element in elements] == ["src_endpoint.ip", "user"]
