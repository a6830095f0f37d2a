"""Field types of northbound.yaml: durations, addresses, names; each says what it expects."""

import re
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from topology.topics import BOUNDARIES, SOURCE_NAME, TENANT_NAME

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)\s*)+")
PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
DECIMAL = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
OCTETS = {unit.upper(): octets for unit, octets in {**SIZES, **DECIMAL}.items()}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)", re.IGNORECASE)
HEAP = re.compile(r"(\d+)\s*([mg])(?:iB)?", re.IGNORECASE)
DIGITS = re.compile(r"[\d.]+")
PROTOCOL = re.compile("^[A-Z_]+://")
ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:]+):(?P<port>\d{1,5})")

HTTPS = re.compile(r"https://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?/?")
HTTP = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?(/[!-~]*)?")
PLAIN = re.compile(r"[^*?\x00-\x1f]+")


def matching(pattern: str, expected: str) -> AfterValidator:
    """A check of a whole text; `expected` is what is said of another."""
    compiled = re.compile(pattern)

    def match(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return AfterValidator(match)


def duration(value: object) -> int:
    found = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a number with a unit: 100ms, 30s, 5m, 1h or 7d")
    parts = PART.findall(found[0])
    return _whole(sum(Decimal(number) * UNITS_MS[unit] for number, unit in parts), "milliseconds")


def _whole(value: Decimal | int, what: str) -> int:
    if value != int(value):
        raise ValueError(f"expected a whole number of {what}")
    return int(value)


def duration_text(milliseconds: int) -> str:
    """The shortest way to write a duration: 300000 as `5m`."""
    if not milliseconds:
        return "0s"
    for unit, size in reversed(UNITS_MS.items()):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def size(value: object) -> int:
    found = SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    octets = OCTETS.get(found[2].upper()) if found is not None else None
    if found is None or octets is None:
        raise ValueError("expected a number with a unit: 512KiB, 64MiB or 1GiB")
    return _whole(Decimal(found[1]) * octets, "bytes")


def octets(value: object) -> object:
    """Bytes as a number, or a size."""
    return size(value) if isinstance(value, str) and not value.strip().isdecimal() else value


def heap(value: str) -> str:
    """As the JVM writes it."""
    found = HEAP.fullmatch(value.strip())
    if found is None:
        raise ValueError("expected a number with a unit: 512m, 1g, 512MiB or 1GiB")
    return f"{found[1]}{found[2].lower()}"


def size_text(octets: int) -> str:
    """The shortest way to write a size: 1048576 as `1MiB`."""
    for unit, each in reversed(SIZES.items()):
        if octets % each == 0:
            return f"{octets // each}{unit}"
    return f"{octets}B"


def network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError:
        raise ValueError(
            "expected an address or network, such as 10.0.0.5 or 10.0.0.0/24"
        ) from None
    return value


def permissions(value: str) -> str:
    if not re.fullmatch("0[0-7]{3}", value):
        raise ValueError("expected four octal digits in quotes, such as '0660'")
    return value


def endpoint(value: str) -> str:
    """An address, or the absolute path of a Unix socket."""
    return value if value.startswith("/") else address(value)


def address(value: str) -> str:
    found = ADDRESS.fullmatch(value)
    if found is None or int(found["port"]) > 65535 or not _host(found["host"]):
        raise ValueError("expected host:port, such as 0.0.0.0:5514 or [::1]:5514")
    return value


def _host(host: str) -> bool:
    """Whether what looks like an IP address is one."""
    if not host.startswith("[") and not DIGITS.fullmatch(host):
        return True
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def receiver(value: str) -> str:
    """An address that can be connected to."""
    if host_port(address(value))[1] == 0:
        raise ValueError("expected host:port with a port from 1 to 65535")
    return value


def brokers(value: str) -> str:
    """Several, as Kafka's clients take them: maybe with a protocol before each."""
    for each in value.split(","):
        try:
            receiver(PROTOCOL.sub("", each.strip()))
        except ValueError:
            text = "expected host:port, or several with commas, such as kafka-1:9092,kafka-2:9092"
            raise ValueError(text) from None
    return value


def addresses(value: str) -> str:
    """Several, with commas between them and no blanks; as they are to be written."""
    return ",".join(address(each.strip()) for each in value.split(","))


def region_name(value: str) -> str:
    if not re.fullmatch("[a-z0-9-]{1,40}", value):
        raise ValueError("expected lower-case letters, digits and -, at most 40")
    return value


def dns_server(value: str) -> str:
    try:
        server_port(value)
    except ValueError:
        raise ValueError(
            "expected an IP address, or one with a port, such as 10.0.0.53, 10.0.0.53:5353 or "
            "[2001:db8::53]:53"
        ) from None
    return value


def https_url(value: str) -> str:
    found = HTTPS.fullmatch(value)
    if found is None or int(found["port"] or 1) > 65535:
        raise ValueError(
            "expected https://host:port without a path, such as https://nas.example:8000"
        )
    return value.rstrip("/")


def http_url(value: str) -> str:
    found = HTTP.fullmatch(value)
    if found is None or int(found["port"] or 1) > 65535:
        raise ValueError(
            "expected http:// or https://, host, port and path, such as https://siem.example:8088"
        )
    return value


def plain(value: str) -> str:
    if not PLAIN.fullmatch(value):
        raise ValueError("expected text without * and ?, which would stand for other names")
    return value


def ip_text(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError("expected an IP address, such as 10.0.0.5") from None


def loopback(value: str) -> str:
    host, _ = host_port(value)
    if not (host.startswith("127.") or host in {"::1", "localhost"}):
        raise ValueError(
            "expected a loopback address: this listener asks no password; consumers outside use "
            "northbound.listen"
        )
    return value


def zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("expected an IANA time zone, such as UTC or Europe/Berlin") from None
    return value


def source_name(value: str) -> str:
    if not SOURCE_NAME.fullmatch(value):
        raise ValueError("expected lower-case letters, digits, - and _, at most 64")
    return value


def tenant_name(value: str) -> str:
    if not TENANT_NAME.fullmatch(value):
        raise ValueError("expected lower-case letters, digits and -, at most 40")
    return value


def boundary(value: str) -> str:
    if value not in BOUNDARIES:
        raise ValueError(f"expected one of {', '.join(BOUNDARIES)}")
    return value


Duration = Annotated[int, BeforeValidator(duration)]
Time = Annotated[Duration, Field(gt=0)]
"""A duration that is not zero."""
Size = Annotated[int, BeforeValidator(size)]
Bytes = Annotated[int, BeforeValidator(octets)]
LineBytes = Annotated[Bytes, Field(ge=1, le=2_000_000)]
NetworkText = Annotated[str, AfterValidator(network)]
Permissions = Annotated[str, AfterValidator(permissions)]
Addresses = Annotated[str, AfterValidator(addresses)]
RegionName = Annotated[str, AfterValidator(region_name)]
Endpoint = Annotated[str, AfterValidator(endpoint)]
Address = Annotated[str, AfterValidator(address)]
Receiver = Annotated[str, AfterValidator(receiver)]
Brokers = Annotated[str, AfterValidator(brokers)]
AddressText = Annotated[str, AfterValidator(ip_text)]
DnsServer = Annotated[str, AfterValidator(dns_server)]
SourceName = Annotated[str, AfterValidator(source_name)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
TenantName = Annotated[str, AfterValidator(tenant_name)]
Boundary = Annotated[str, AfterValidator(boundary)]
Positive = Annotated[int, Field(ge=1)]
NonEmpty = Annotated[str, Field(min_length=1)]
Name = Annotated[
    str, matching("[a-z0-9-]{1,64}", "expected lower-case letters, digits and -, at most 64")
]
TopicName = Annotated[
    str, matching("[A-Za-z0-9._-]{1,249}", "expected letters, digits, ., - and _, at most 249")
]
TopicPrefix = Annotated[
    str, matching("[A-Za-z0-9._-]*", "expected letters, digits, ., - and _, such as `audit.`")
]
Heap = Annotated[str, AfterValidator(heap)]


def host_port(address: str) -> tuple[str, int]:
    """`[::1]:5514` as `("::1", 5514)`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def server_port(value: str) -> tuple[str, int]:
    """A DNS server's address and port, 53 unless it has one. Raises ValueError."""
    try:
        return str(ip_address(value)), 53
    except ValueError:
        host, port = host_port(address(value))
        return str(ip_address(host)), port
