"""The addresses of a column, read once for all networks that rules ask for."""

import ipaddress
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAPPED: Final = 96
"""Bits that are the same in all mapped addresses."""


@lru_cache(maxsize=65_536)
def address(text: str) -> Address | None:
    """The address that a text is; None if it is none. IPv4 mapped to IPv6 counts as IPv4."""
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def network_of(cidr: str) -> Network:
    """The network of a rule. One of IPv4 addresses mapped to IPv6 counts as IPv4, as they do."""
    found = ipaddress.ip_network(cidr, strict=False)
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is None or found.prefixlen < MAPPED:
        return found
    return ipaddress.IPv4Network((mapped, found.prefixlen - MAPPED))


class Addresses:
    """Elements of a column as addresses; those that are none are in no network."""

    def __init__(self, texts: pl.Series) -> None:
        self._size = len(texts)
        found = [None if text is None else address(text) for text in texts.to_list()]
        old = [(at, int(each)) for at, each in enumerate(found) if each and each.version == 4]
        self._places, self._numbers = np.array(old, dtype=np.int64).reshape(-1, 2).T
        self._new = [(at, each) for at, each in enumerate(found) if each and each.version == 6]

    def within(self, network: Network) -> npt.NDArray[np.bool_]:
        """One truth for each element: whether it is in the network."""
        mask = np.zeros(self._size, dtype=np.bool_)
        if network.version == 4:
            inside = (self._numbers & int(network.netmask)) == int(network.network_address)
            mask[self._places[inside]] = True
        else:
            for at, each in self._new:
                mask[at] = each in network
        return mask
