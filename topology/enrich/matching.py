"""How a value finds its row: by equality, in the narrowest network, or as a name below a domain.

A `Matching` is asked for the distinct values of a batch. Networks and domains remember what they
answered, within bounds, as audit data repeats itself from batch to batch too.
"""

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import SMALL

Places: TypeAlias = npt.NDArray[np.uint32]
"""Numbers of rows from 1 on; 0: none."""
Span: TypeAlias = tuple[int, int, int]
"""A network's first address, the one behind its last, and its place."""

MOST_REMEMBERED: Final = 65_536
V4_MAPPED: Final = 0xFFFF << 32
"""`::ffff:0:0/96`, IPv4 addresses as IPv6 (RFC 4291 section 2.5.5.2)."""
V4_END: Final = 1 << 32
OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
V4: Final = rf"^{OCTET}\.{OCTET}\.{OCTET}\.{OCTET}$"


class Matching(Protocol):
    """Built from the place of each key, as `normal` writes keys."""

    def __init__(self, keys: Mapping[str, int]) -> None: ...

    @staticmethod
    def normal(key: str) -> str:
        """The key in the form that equal ones share. Raises ValueError with what was expected."""

    def places(self, values: Sequence[str | None]) -> Places:
        """The place of each value."""


class Exact:
    """Equal texts."""

    def __init__(self, keys: Mapping[str, int]) -> None:
        self._keys: Final[dict[str | None, int]] = dict(keys.items())

    @staticmethod
    def normal(key: str) -> str:
        """The key itself."""
        return key

    def places(self, values: Sequence[str | None]) -> Places:
        """The place of each value."""
        known = self._keys
        return _array([known.get(value, 0) for value in values])


class Remembered:
    """Keeps the places of values; a subclass finds those of new ones."""

    def __init__(self) -> None:
        self._known: dict[str | None, int] = {}

    def places(self, values: Sequence[str | None]) -> Places:
        """The place of each value."""
        known = self._known
        missing = [value for value in values if value is not None and value not in known]
        if missing:
            if len(known) + len(missing) > MOST_REMEMBERED:
                self._known = known = {}
                missing = [value for value in values if value is not None]
            known.update(zip(missing, self._find(missing), strict=True))
        return _array([known.get(value, 0) for value in values])

    def _find(self, values: list[str]) -> Iterable[int]:
        raise NotImplementedError


class Networks(Remembered):
    """Addresses in networks, IPv4 and IPv6: of several the one with the longest prefix."""

    def __init__(self, keys: Mapping[str, int]) -> None:
        super().__init__()
        spans: dict[int, list[Span]] = {4: [], 6: []}
        for key, place in keys.items():
            network = ipaddress.ip_network(key)
            start = int(network.network_address)
            spans[network.version].append((start, start + network.num_addresses, place))
        bounds, places = _segments(spans[4])
        self._v4: Final = np.array(bounds, dtype=np.int64)
        self._v4_places: Final = np.array(places, dtype=np.uint32)
        self._v6, self._v6_places = _segments(spans[6])

    @staticmethod
    def normal(key: str) -> str:
        """The network; an address is one of its own."""
        try:
            network = ipaddress.ip_network(key.strip())
        except ValueError as error:
            reason = str(error)
            if reason.endswith("host bits set"):
                proper = ipaddress.ip_network(key.strip(), strict=False)
                raise ValueError(
                    f"saw {key!r}, an address within {proper}; expected one of the two"
                ) from None
            raise ValueError(
                f"saw {key!r}, expected an address or a network such as 10.1.0.0/16"
            ) from None
        if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
            start = int(network.network_address)
            if start >> 32 << 32 == V4_MAPPED:
                return str(ipaddress.IPv4Network((start % V4_END, network.prefixlen - 96)))
        return str(network)

    def _find(self, values: list[str]) -> Iterable[int]:
        if len(values) < SMALL:
            return [self._place(value) for value in values]
        addresses = _v4_addresses(values)
        places = self._v4_places[np.searchsorted(self._v4, addresses, side="right") - 1]
        found: list[int] = np.where(addresses < 0, 0, places).tolist()
        for number in np.flatnonzero(addresses < 0).tolist():
            found[number] = self._place(values[number])
        return found

    def _place(self, value: str) -> int:
        if ":" not in value and value.count(".") != 3:
            return 0
        try:
            address = ipaddress.ip_address(value.partition("%")[0])
        except ValueError:
            return 0
        number = int(address)
        if address.version == 6:
            if number >> 32 << 32 != V4_MAPPED:
                return self._v6_places[bisect_right(self._v6, number) - 1]
            number %= V4_END
        return int(self._v4_places[np.searchsorted(self._v4, number, side="right") - 1])


class Domains(Remembered):
    """Names at or below a domain, in any case: of several the longest."""

    def __init__(self, keys: Mapping[str, int]) -> None:
        super().__init__()
        self._keys: Final = {**keys}

    @staticmethod
    def normal(key: str) -> str:
        """In lower case, without `*.` before and a dot behind it."""
        name = key.strip().lower().removeprefix("*.").removesuffix(".")
        if not all(name.split(".")) or any(mark in name for mark in "/:*@ \t"):
            raise ValueError(f"saw {key!r}, expected a host or domain such as example.com")
        return name

    def _find(self, values: list[str]) -> Iterable[int]:
        known = self._keys
        for value in values:
            name = value.lower().removesuffix(".")
            while name and name not in known:
                name = name.partition(".")[2]
            yield known[name] if name else 0


def _array(places: list[int]) -> Places:
    return np.array(places, dtype=np.uint32)


def _segments(spans: list[Span]) -> tuple[list[int], list[int]]:
    """Nested spans side by side: where each part begins, and the place of the narrowest there."""
    bounds, places = [0], [0]

    def begin(at: int, place: int) -> None:
        if bounds[-1] == at:
            places[-1] = place
        else:
            bounds.append(at)
            places.append(place)

    around: list[tuple[int, int]] = []
    for start, end, place in sorted(spans, key=lambda span: (span[0], -span[1])):
        while around and around[-1][0] <= start:
            last, _ = around.pop()
            begin(last, around[-1][1] if around else 0)
        begin(start, place)
        around.append((end, place))
    while around:
        last, _ = around.pop()
        begin(last, around[-1][1] if around else 0)
    return bounds, places


def _v4_addresses(values: list[str]) -> npt.NDArray[np.int64]:
    """IPv4 addresses as numbers; -1 for any other text."""
    octets = pl.Series("text", values).str.extract_groups(V4).struct.unnest().cast(pl.Int64)
    first, second, third, fourth = octets.get_columns()
    number = ((first * 256 + second) * 256 + third) * 256 + fourth
    return number.fill_null(-1).to_numpy()


MATCHES: Final[Mapping[str, type[Matching]]] = {
    "exact": Exact,
    "network": Networks,
    "domain": Domains,
}
"""By the word that northbound.yaml has for it."""
