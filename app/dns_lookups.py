"""Names of addresses and addresses of names, asked of DNS servers. Needs the package extra `dns`.

What a server says is not trusted to be a name: an address's owner can write anything into its PTR
record, so whatever is no host name is taken for no answer.
"""

import asyncio
import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from app import extras
from app.live_lookups import Answer, Asker, SetupError

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

HOSTNAME: Final = re.compile(r"(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
MOST_ADDRESSES: Final = 16
"""Addresses of a name that are kept, the lowest ones."""


class Reverse:
    """PTR records (RFC 1035 section 3.5, RFC 3596 section 2.5): the name of an address."""

    most = 1
    requests = 1
    columns = ("hostname",)

    def __init__(self, resolver: "Resolver") -> None:
        self._resolver = resolver

    def askable(self, value: str) -> bool:
        """Addresses, except those that are nobody's in particular."""
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        return "%" not in value and not (
            address.is_unspecified or address.is_loopback or address.is_multicast
        )

    async def ask(self, values: Sequence[str]) -> Mapping[str, Answer]:
        """The name of the only value; the first of several, in alphabetical order."""
        (value,) = values
        address = ipaddress.ip_address(value)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        texts, source, ttl = await _query(self._resolver, address.reverse_pointer, "PTR")
        names = sorted(filter(HOSTNAME.fullmatch, (text.rstrip(".").lower() for text in texts)))
        return {value: Answer({"hostname": names[0]} if names else None, source, ttl)}

    async def close(self) -> None:
        """There is no connection."""


class Forward:
    """A and AAAA records (RFC 1035, RFC 3596): the addresses of a name."""

    most = 1
    requests = 2
    columns = ("addresses",)

    def __init__(self, resolver: "Resolver") -> None:
        self._resolver = resolver

    def askable(self, value: str) -> bool:
        """Complete names: no search list is applied, so one without a dot is not asked for."""
        name = value.rstrip(".").lower()
        last = name.rpartition(".")[2]
        return "." in name and not last.isdigit() and HOSTNAME.fullmatch(name) is not None

    async def ask(self, values: Sequence[str]) -> Mapping[str, Answer]:
        """The addresses of the only value, IPv4 first."""
        (value,) = values
        name = value.rstrip(".").lower()
        found = await asyncio.gather(
            *(_query(self._resolver, name, kind) for kind in ("A", "AAAA")),
            return_exceptions=True,
        )
        answers = [each for each in found if not isinstance(each, BaseException)]
        if not any(texts for texts, _, _ in answers):
            for each in found:
                if isinstance(each, BaseException):
                    raise each
            return {value: Answer(None)}
        addresses = [
            address
            for texts, _, _ in answers
            for address in sorted(texts, key=ipaddress.ip_address)
        ]
        source = next(source for texts, source, _ in answers if texts)
        ttl = min(ttl for texts, _, ttl in answers if texts)
        return {value: Answer({"addresses": addresses[:MOST_ADDRESSES]}, source, ttl)}

    async def close(self) -> None:
        """There is no connection."""


ASKERS: Final[Mapping[str, type[Reverse] | type[Forward]]] = {
    "reverse": Reverse,
    "forward": Forward,
}
"""By direction, as app.config.enrichment has them."""


def dns_asker(direction: str, servers: Sequence[tuple[str, int]], timeout: float) -> Asker:
    """Asks these servers (address and port), or those of /etc/resolv.conf, for at most `timeout` s.

    Raises SetupError.
    """
    try:
        import dns.asyncresolver  # noqa: PLC0415  # an extra
        import dns.nameserver  # noqa: PLC0415  # an extra
    except ImportError:
        raise SetupError("dns", extras.missing("dns")) from None
    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:
        raise SetupError(
            "dns", "/etc/resolv.conf names no server; name them with servers"
        ) from None
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in servers]
    resolver.lifetime = timeout
    resolver.timeout = timeout / 2  # so that a lost packet, or a dead server, has a second chance
    return ASKERS[direction](resolver)


async def _query(resolver: "Resolver", name: str, kind: str) -> tuple[list[str], str, float]:
    """Texts of the records, the server that answered, and seconds that they hold.

    Raises TimeoutError; RuntimeError where servers refuse or fail.
    """
    import dns.exception  # noqa: PLC0415  # an extra
    import dns.resolver  # noqa: PLC0415  # an extra

    try:
        answer: Any = await resolver.resolve(
            f"{name}.", kind, search=False, raise_on_no_answer=False
        )
    except dns.resolver.NXDOMAIN:
        return [], "", 0.0
    except dns.resolver.LifetimeTimeout:
        raise TimeoutError from None
    except dns.exception.DNSException as error:
        raise RuntimeError(f"{type(error).__name__} for {kind} records") from None
    records = [] if answer.rrset is None else [record.to_text() for record in answer.rrset]
    server = f"dns {answer.nameserver}:{answer.port}"
    return records, server, float(answer.chaining_result.minimum_ttl)
