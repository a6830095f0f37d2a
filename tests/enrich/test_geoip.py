"""Locations and autonomous systems, from real .mmdb files."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from app.geoip import load_geoip
from app.lookups import LookupErrors
from topology.dimension import SMALL
from topology.northbound import SERIALIZERS

CITY = {
    "city": {"names": {"en": "Zurich", "de": "Zürich"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "CH"},
    "location": {"latitude": 47.5, "longitude": 8.25},
    "postal": {"code": "8000"},
    "subdivisions": [{"iso_code": "ZH"}],
}
ENDPOINTS = ["src_endpoint.ip", "dst_endpoint.ip"]


def table(path: Path, networks: dict[str, dict[str, object]]) -> Path:
    """An .mmdb file with IPv4 and IPv6 networks."""
    writer = MMDBWriter(6, "Test", languages=["en"], ipv4_compatible=True)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return path


@pytest.fixture
def city(tmp_path: Path) -> Path:
    return table(
        tmp_path / "city.mmdb",
        {
            "192.0.2.0/24": CITY,
            "2001:db8::/32": {"registered_country": {"iso_code": "DE"}},
        },
    )


def written(events: pl.DataFrame) -> list[dict[str, Any]]:
    """Events as they leave."""
    events = events.with_columns(pl.lit(1).alias("time"))
    return [json.loads(text) for text in SERIALIZERS["ocsf-json"](events).to_list()]


@pytest.mark.parametrize("times", [1, SMALL])
def test_locations_of_both_endpoints(city: Path, times: int) -> None:
    """Known and unknown addresses, IPv6, and what is no address; also when asked again."""
    events = pl.DataFrame(
        {
            "src_endpoint.ip": ["192.0.2.7", "10.0.0.1", None, "nonsense"] * times,
            "dst_endpoint.ip": [None, "2001:db8::5", "", "192.0.2.9"] * times,
        }
    )
    geoip = load_geoip(city, ENDPOINTS)
    found = written(geoip.apply(events))
    source, target = found[0]["src_endpoint"], found[1]["dst_endpoint"]
    provider = source["location"]["provider"]
    assert provider.startswith("city.mmdb@")
    assert source["location"] == {
        "city": "Zurich",
        "continent": "Europe",
        "country": "CH",
        "lat": 47.5,
        "long": 8.25,
        "postal_code": "8000",
        "provider": provider,
        "region": "CH-ZH",
    }
    assert target["location"] == {"country": "DE", "provider": provider}
    assert "location" not in found[1]["src_endpoint"]
    assert found[3]["src_endpoint"] == {"ip": "nonsense"}
    assert found[3]["dst_endpoint"]["location"] == source["location"]
    assert found == found[:4] * times
    assert written(geoip.apply(events)) == found


def test_autonomous_systems(tmp_path: Path) -> None:
    """Beside a location that another table gave, and of network endpoints alone."""
    path = table(
        tmp_path / "asn.mmdb",
        {
            "192.0.2.0/24": {
                "autonomous_system_number": 64496,
                "autonomous_system_organization": "Example",
            }
        },
    )
    events = pl.DataFrame({"src_endpoint.ip": ["192.0.2.7"], "device.ip": ["192.0.2.7"]})
    (found,) = written(load_geoip(path, ["src_endpoint.ip", "device.ip"]).apply(events))
    assert found["src_endpoint"]["autonomous_system"] == {"name": "Example", "number": 64496}
    assert found["device"] == {"ip": "192.0.2.7"}
    (told,) = found["enrichments"]
    assert told.pop("provider").startswith("asn.mmdb@")
    assert told == {
        "name": "src_endpoint.ip",
        "value": "192.0.2.7",
        "type": "autonomous_system",
        "data": {"number": 64496, "name": "Example"},
    }


@pytest.mark.parametrize("times", [1, SMALL])
def test_two_tables_of_autonomous_systems(tmp_path: Path, times: int) -> None:
    """The first that knows an address says its system, and is told; the source goes before both."""
    own = {"autonomous_system_number": 64496}
    first = table(tmp_path / "a.mmdb", {"192.0.2.0/24": own})
    second = table(
        tmp_path / "b.mmdb",
        {"192.0.2.0/24": {"autonomous_system_number": 64511}, "198.51.100.0/24": own},
    )
    addresses = ["192.0.2.7", "198.51.100.7", "10.0.0.1", "192.0.2.8"]
    events = pl.DataFrame(
        {
            "src_endpoint.ip": addresses * times,
            "src_endpoint.autonomous_system.number": [None, None, None, 7] * times,
        },
        schema_overrides={"src_endpoint.autonomous_system.number": pl.Int64},
    )
    for path in (first, second):
        events = load_geoip(path, ENDPOINTS).apply(events)
    found = written(events)
    numbers = [each["src_endpoint"].get("autonomous_system") for each in found[:4]]
    assert numbers == [{"number": 64496}, {"number": 64496}, None, {"number": 7}]
    tables = [
        [each["provider"].partition("@")[0] for each in event.get("enrichments", ())]
        for event in found[:4]
    ]
    assert tables == [["a.mmdb"], ["b.mmdb"], [], []]
    assert found == found[:4] * times


def test_values_of_other_types_are_none(tmp_path: Path) -> None:
    """A table that somebody else made costs no event."""
    strange = {
        "city": {"names": {"en": 5}},
        "country": {"iso_code": "CH"},
        "location": {"latitude": "north", "longitude": 8},
        "subdivisions": [{"iso_code": 1}],
        "autonomous_system_number": "AS64496",
        "autonomous_system_organization": 7,
    }
    path = table(tmp_path / "strange.mmdb", {"192.0.2.0/24": strange})
    events = pl.DataFrame({"src_endpoint.ip": ["192.0.2.7"]})
    (found,) = written(load_geoip(path, ["src_endpoint.ip"]).apply(events))
    location = found["src_endpoint"]["location"]
    assert location.pop("provider").startswith("strange.mmdb@")
    assert location == {"country": "CH", "long": 8.0}
    assert "autonomous_system" not in found["src_endpoint"]


def test_what_the_source_said_stays(city: Path) -> None:
    """A location of the source is not mixed with one of the table, event by event."""
    events = pl.DataFrame(
        {
            "src_endpoint.ip": ["192.0.2.7", "192.0.2.7"],
            "src_endpoint.location.desc": ["rack 7", None],
        }
    )
    found = written(load_geoip(city, ENDPOINTS).apply(events))
    assert found[0]["src_endpoint"]["location"] == {"desc": "rack 7"}
    assert found[1]["src_endpoint"]["location"]["city"] == "Zurich"


def test_events_without_known_addresses_stay_as_they_are(city: Path) -> None:
    """No column is added."""
    geoip = load_geoip(city, ENDPOINTS)
    for events in (
        pl.DataFrame({"time": [1]}),
        pl.DataFrame({"src_endpoint.ip": ["10.0.0.1", None]}),
        pl.DataFrame(schema={"src_endpoint.ip": pl.String}),
    ):
        assert geoip.apply(events).equals(events)


def test_a_table_that_is_written_over_goes_on_being_read(city: Path) -> None:
    """A worker that has it open neither fails nor reads half of it."""
    geoip = load_geoip(city, ENDPOINTS)
    city.write_bytes(b"")
    (found,) = written(geoip.apply(pl.DataFrame({"src_endpoint.ip": ["192.0.2.7"]})))
    assert found["src_endpoint"]["location"]["city"] == "Zurich"


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    """Each is named."""
    (tmp_path / "a.mmdb").write_bytes(b"x" * 100)
    (tmp_path / "empty.mmdb").write_bytes(b"")
    for name, told in (
        ("a.mmdb", "is no MaxMind table"),
        ("empty.mmdb", "is no MaxMind table"),
        ("none.mmdb", "cannot be read: No such file"),
    ):
        with pytest.raises(LookupErrors, match=told):
            load_geoip(tmp_path / name, ENDPOINTS)
