"""How values meet keys, against what the standard library says of each pair."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.enrich.matching import Domains, Exact, Networks

V4 = st.builds(
    lambda base, bits: ipaddress.ip_network((base, bits), strict=False),
    st.integers(0x0A000000, 0x0A0003FF),
    st.integers(8, 32),
)
V6 = st.builds(
    lambda base, bits: ipaddress.ip_network((base, bits), strict=False),
    st.integers(0x20010DB8 << 96, (0x20010DB8 << 96) + 1023),
    st.integers(32, 128),
)
ADDRESSES = st.one_of(
    st.integers(0x09FFFFFF, 0x0A000400).map(lambda n: str(ipaddress.IPv4Address(n))),
    st.integers((0x20010DB8 << 96) - 1, (0x20010DB8 << 96) + 1024).map(
        lambda n: str(ipaddress.IPv6Address(n))
    ),
    st.integers(0x0A000000, 0x0A000400).map(lambda n: f"::ffff:{ipaddress.IPv4Address(n)}"),
    st.sampled_from(
        [
            None,
            "",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.1 ",
            "10.0.0.1\n",
            "10.0..1",
            "1\u0660.0.0.1",
            "fe80::1%eth0",
        ]
    ),
    st.text(max_size=8),
)


def narrowest(keys: dict[str, int], value: str | None) -> int:
    """The place of the longest prefix around an address."""
    try:
        address = ipaddress.ip_address((value or "").partition("%")[0])
    except ValueError:
        return 0
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    around = [
        (network.prefixlen, place)
        for network, place in ((ipaddress.ip_network(key), place) for key, place in keys.items())
        if network.version == address.version and address in network
    ]
    return max(around)[1] if around else 0


@given(st.lists(st.one_of(V4, V6), max_size=12, unique=True), st.lists(ADDRESSES, max_size=12))
def test_the_longest_prefix_wins(networks: list[object], values: list[str | None]):
    """For few values and for many, which take another way, and also when asked again."""
    keys = {str(network): place for place, network in enumerate(networks, start=1)}
    expected = [narrowest(keys, value) for value in values]
    matching = Networks(keys)
    assert matching.places(values).tolist() == expected
    assert matching.places(values).tolist() == expected
    many = Networks(keys)
    assert many.places(values * SMALL).tolist() == expected * SMALL


LABELS = st.sampled_from(["a", "b", "com", "example", "EXAMPLE"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@given(st.lists(NAMES, max_size=6), st.lists(st.one_of(NAMES, st.none()), max_size=6))
def test_the_longest_domain_wins(domains: list[str], values: list[str | None]):
    """A name is below a domain when its last labels are the domain's, in any case."""
    keys = {Domains.normal(name): place for place, name in enumerate(domains, start=1)}
    expected = []
    for value in values:
        name = f".{(value or '').lower()}"
        above = [(len(key), place) for key, place in keys.items() if name.endswith(f".{key}")]
        expected.append(max(above)[1] if above else 0)
    assert Domains(keys).places(values).tolist() == expected


def test_what_is_remembered_is_bounded():
    """More values than are kept still get their places."""
    matching = Networks({"10.0.0.0/9": 1})
    for second in range(4):
        values = [
            f"10.{second * 64 + n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(40_000)
        ]
        assert set(matching.places(values).tolist()) == {int(second < 2)}


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        (" 10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_equal_networks_have_one_form(given: str, normal: str):
    """So that a table with one twice is noticed."""
    assert Networks.normal(given) == normal


@pytest.mark.parametrize(
    ("matching", "key", "told"),
    [
        (Networks, "10.0.0.1/8", "an address within 10.0.0.0/8"),
        (Networks, "ten", "expected an address or a network"),
        (Domains, "http://x.com/", "expected a host or domain"),
        (Domains, "a..b", "expected a host or domain"),
    ],
)
def test_keys_that_cannot_be_meant(matching: type[Networks | Domains], key: str, told: str):
    """Each says what was seen and what was expected."""
    with pytest.raises(ValueError, match=told):
        matching.normal(key)


def test_exact_is_exact():
    """No trimming, no change of case; a missing value is none."""
    assert Exact({"a": 1}).places(["a", "A", " a", None]).tolist() == [1, 0, 0, 0]
