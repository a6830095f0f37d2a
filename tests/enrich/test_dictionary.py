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
    return Dictionary("asset", "ip", ["src_endpoint.ip"], ASSETS)


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
    expected = assets.apply(plain)
    columns = [name for name in expected.columns if not name.startswith("@code")]
    assert "enrichments[asset]:json" in columns
    assert seen.select(columns).equals(expected.select(columns))


def test_events_without_the_field_stay_as_they_are(assets: Dictionary):
    """Not every source has addresses, and a batch may be empty."""
    for events in (
        pl.DataFrame({"time": [1]}),
        pl.DataFrame(schema={"src_endpoint.ip": pl.String}),
    ):
        assert assets.apply(events).equals(events)


def test_two_dictionaries_are_two_elements(assets: Dictionary):
    """In the order of their names, whichever was applied first."""
    people = Dictionary("person", "user", ["@user"], [{"user": "AD\\a", "dept": "x"}])
    events = pl.DataFrame({"src_endpoint.ip": ["10.0.0.1"], "@user": ["AD\\a"]})
    text = SERIALIZERS["ocsf-json"](assets.apply(people.apply(events))).item()
    elements = json.loads(text)["enrichments"]
    assert [element["type"] for element in elements] == ["asset", "person"]
    assert [element["name"] for element in elements] == ["src_endpoint.ip", "user"]


def elements(events: pl.DataFrame) -> list[list[dict[str, object]] | None]:
    """`enrichments` as the events that leave have them."""
    return [
        json.loads(text).get("enrichments") for text in SERIALIZERS["ocsf-json"](events).to_list()
    ]


@pytest.mark.parametrize("times", [1, SMALL])
def test_networks_over_several_attributes(times: int):
    """Each attribute that hits is an element with its network; rules see the first one."""
    rows = [
        {"net": "10.0.0.0/8", "category": "office", "priority": 2},
        {"net": "10.1.0.0/16", "category": "servers", "priority": 5},
        {"net": "2001:db8::/32", "category": "lab"},
    ]
    fields = ["src_endpoint.ip", "dst_endpoint.ip"]
    assets = Dictionary("asset", "net", fields, rows, match="network")
    events = pl.DataFrame(
        {
            "src_endpoint.ip": ["10.1.2.3", "192.0.2.1", None, "nonsense"] * times,
            "dst_endpoint.ip": ["10.2.0.1", "10.1.0.1", "2001:DB8::1", ""] * times,
        }
    )
    seen = assets.apply(events)
    assert seen["@enrich.asset.category"].to_list() == ["servers", "servers", "lab", None] * times
    assert seen["@enrich.asset.priority"].to_list() == ["5", "5", None, None] * times
    found = elements(seen)
    told = [
        [(each["name"], each["value"], each["data"]["net"]) for each in row or []]
        for row in found[:4]
    ]
    assert told == [
        [
            ("dst_endpoint.ip", "10.2.0.1", "10.0.0.0/8"),
            ("src_endpoint.ip", "10.1.2.3", "10.1.0.0/16"),
        ],
        [("dst_endpoint.ip", "10.1.0.1", "10.1.0.0/16")],
        [("dst_endpoint.ip", "2001:DB8::1", "2001:db8::/32")],
        [],
    ]
    assert found == found[:4] * times


def test_texts_in_elements_are_escaped():
    """A value that a sender chose cannot break the event's JSON, whatever the form."""
    name = 'a"b\\c.example.com'
    table = Dictionary(
        "zone", "name", ["dst_endpoint.hostname"], [{"name": "example.com"}], match="domain"
    )
    seen = table.apply(pl.DataFrame({"time": [1], "dst_endpoint.hostname": [name]}))
    (found,) = elements(seen)
    assert found is not None
    assert found[0]["value"] == name
    for form in SERIALIZERS.values():
        assert len(form(seen)) == 1


def test_attributes_that_are_lists_or_numbers():
    """A list is passed by, a number is looked up as its text."""
    table = Dictionary("port", "port", ["a", "b"], [{"port": 22, "service": "ssh"}])
    seen = table.apply(pl.DataFrame({"a": [["22"], ["23"]], "b": [22, 23]}))
    assert seen["@enrich.port.service"].to_list() == ["ssh", None]
