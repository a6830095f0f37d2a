"""How a value finds its row: by equality, in the narrowest network, or as a name below a domain.

A `Matching` is asked for the distinct values of a batch. IPv6 addresses and names are remembered
within bounds, as audit data repeats itself from batch to batch too.
"""

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.enrich.addresses import v4_numbers

Places: TypeAlias = npt.NDArray[np.uint32]
"""Numbers of rows from 1 on; 0: none."""
Span: TypeAlias = tuple[int, int, int]
"""A network's first address, the one behind its last, and its place."""

MOST_REMEMBERED: Final = 65_536
SPARSE: Final = 32
"""Marks for each key; so few of other texts, one in so many, look like a key."""
V4_MAPPED: Final = 0xFFFF << 32
"""`::ffff:0:0/96`, IPv4 addresses as IPv6 (RFC 4291 section 2.5.5.2)."""
V4_END: Final = 1 << 32
OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
V4: Final = re.compile(rf"{OCTET}\.{OCTET}\.{OCTET}\.{OCTET}")


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
        self._mask: Final = np.uint64((1 << (SPARSE * len(keys)).bit_length()) - 1)
        self._marks: Final = np.zeros(int(self._mask) + 1, dtype=np.bool_)
        self._marks[self._marked(pl.Series(list(keys), dtype=pl.String))] = True

    @staticmethod
    def normal(key: str) -> str:
        """The key itself."""
        return key

    def places(self, values: Sequence[str | None]) -> Places:
        """The place of each value."""
        known = self._keys
        return _array([known.get(value, 0) for value in values])

    def possible(self, column: pl.Series) -> npt.NDArray[np.bool_]:
        """Rows whose text may be a key; the others' are none (a Bloom filter with one hash)."""
        return self._marks[self._marked(column)]

    def _marked(self, column: pl.Series) -> npt.NDArray[np.uint64]:
        return column.hash().to_numpy() & self._mask


class Networks:
    """Addresses in networks, IPv4 and IPv6: of several the one with the longest prefix."""

    def __init__(self, keys: Mapping[str, int]) -> None:
        spans: dict[int, list[Span]] = {4: [], 6: []}
        for key, place in keys.items():
            version, start, end = _span(key)
            spans[version].append((start, end, place))
        bounds, places = _segments(spans[4])
        self._v4: Final = np.array(bounds, dtype=np.int64)
        self._v4_places: Final = np.array(places, dtype=np.uint32)
        self._v6, self._v6_places = _segments(spans[6])
        self._others: Final = _Remembered(lambda texts: map(self._place, texts))

    @staticmethod
    def normal(key: str) -> str:
        """The network; an address is one of its own."""
        if V4.fullmatch(key):
            return f"{key}/32"
        try:
            network = ipaddress.ip_network(key.strip())
        except ValueError as error:
            if str(error).endswith("host bits set"):
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

    def places(self, values: Sequence[str | None]) -> Places:
        """The place of each value."""
        numbers = v4_numbers(values)
        places = self._v4_places[np.searchsorted(self._v4, numbers, side="right") - 1]
        strange = np.flatnonzero(numbers < 0).tolist()
        if strange:
            places[strange] = self._others.places([values[number] for number in strange])
        return places

    def _place(self, text: str) -> int:
        """Of a text that is no IPv4 address in the usual form."""
        if ":" not in text:
            return 0
        try:
            number = int(ipaddress.IPv6Address(text.partition("%")[0]))
        except ValueError:
            return 0
        if number >> 32 << 32 == V4_MAPPED:
            return int(self._v4_places[np.searchsorted(self._v4, number % V4_END, "right") - 1])
        return self._v6_places[bisect_right(self._v6, number) - 1]


class Domains:
    """Names at or below a domain, in any case: of several the longest."""

    def __init__(self, keys: Mapping[str, int]) -> None:
        self._keys: Final = dict(keys.items())
        self._ends: Final = frozenset(_end(key) for key in keys)
        self._names: Final = _Remembered(lambda texts: map(self._place, texts))

    @staticmethod
    def normal(key: str) -> str:
        """In lower case, without `*.` before and a dot behind it."""
        name = key.strip().lower().removeprefix("*.").removesuffix(".")
        if not all(name.split(".")) or any(mark in name for mark in "/:*@ \t"):
            raise ValueError(f"saw {key!r}, expected a host or domain such as example.com")
        return name

    def places(self, values: Sequence[str | None]) -> Places:
        """The place of each value."""
        return self._names.places(values)

    def _place(self, text: str) -> int:
        known = self._keys
        name = text.lower().removesuffix(".")
        if _end(name) not in self._ends:
            # Nor is anything above it, unless a key is a single label.
            return known.get(name.rpartition(".")[2], 0)
        while name and name not in known:
            name = name.partition(".")[2]
        return known[name] if name else 0


class _Remembered:
    """Keeps the places of texts; `find` gives those of new ones."""

    def __init__(self, find: Callable[[list[str]], Iterable[int]]) -> None:
        self._find = find
        self._known: dict[str | None, int] = {}

    def places(self, values: Sequence[str | None]) -> Places:
        known = self._known
        found = [0 if value is None else known.get(value, -1) for value in values]
        if -1 in found:
            new = [value for value in values if value is not None and value not in known]
            made: dict[str | None, int] = dict(zip(new, self._find(new), strict=True))
            if len(known) + len(made) <= MOST_REMEMBERED:
                known.update(made)
            else:
                self._known = made
            found = [
                made.get(value, 0) if place < 0 else place
                for value, place in zip(values, found, strict=True)
            ]
        return _array(found)


def _array(places: list[int]) -> Places:
    return np.array(places, dtype=np.uint32)


def _end(name: str) -> str:
    """The last two labels."""
    labels = name.rsplit(".", 2)
    return name if len(labels) < 3 else f"{labels[1]}.{labels[2]}"


def _span(key: str) -> tuple[int, int, int]:
    """The version of a network, its first address and the one behind its last."""
    if key.endswith("/32") and ":" not in key:
        first, second, third, fourth = map(int, key[:-3].split("."))
        start = ((first * 256 + second) * 256 + third) * 256 + fourth
        return 4, start, start + 1
    network = ipaddress.ip_network(key)
    start = int(network.network_address)
    return network.version, start, start + network.num_addresses


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


MATCHES: Final[Mapping[str, type[Matching]]] = {
    "exact": Exact,
    "network": Networks,
    "domain": Domains,
}
"""By the word that northbound.yaml has for it."""
