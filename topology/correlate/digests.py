"""Values that are only counted: eight octets of each, in sorted columns.

Two of n different values have the same digest with a probability of n² / 2^65: for a million
values, one alert in 37 million tells one value too few.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from topology.correlate.scan import Value

Digests: TypeAlias = npt.NDArray[np.uint64]
"""Rising, each once."""
WIDTH: Final = 8
NONE: Final[Digests] = np.empty(0, np.dtype("<u8"))


def digests(values: Iterable[Value]) -> Digests:
    """Those of some values."""
    octets = [blake2b(_octets(value), digest_size=WIDTH).digest() for value in set(values)]
    return np.unique(of_octets(b"".join(octets)))


def of_octets(octets: bytes) -> Digests:
    """As `tobytes` gave them."""
    return np.frombuffer(octets, np.dtype("<u8"))


def unseen(known: Digests, some: Digests) -> Digests:
    """Those of `some` that are not known."""
    if not len(known):
        return some
    places = np.searchsorted(known, some)
    fresh: Digests = some[known[np.minimum(places, len(known) - 1)] != some]
    return fresh


def merged(known: Digests, fresh: Digests) -> Digests:
    """Both; none of `fresh` is known."""
    return np.insert(known, np.searchsorted(known, fresh), fresh)


def _octets(value: Value) -> bytes:
    return value.encode() if isinstance(value, str) else orjson.dumps(value)
