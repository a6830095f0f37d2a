"""Field types of northbound.yaml: durations, addresses, names; each says what it expects."""

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from topology.topics import BOUNDARIES, SOURCE_NAME, TENANT_NAME

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"(\d+)\s*(ms|s|m|h|d)")
ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:]+):(?P<port>\d{1,5})")


def duration(value: object) -> int:
    found = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected a number with a unit: 100ms, 30s, 5m, 1h or 7d")
    return int(found[1]) * UNITS_MS[found[2]]


def duration_text(milliseconds: int) -> str:
    """The shortest way to write a duration: 300000 as `5m`."""
    for unit, size in reversed(UNITS_MS.items()):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def address(value: str) -> str:
    found = ADDRESS.fullmatch(value)
    if found is None or int(found["port"]) > 65535:
        raise ValueError("expected host:port, such as 0.0.0.0:5514 or [::1]:5514")
    return value


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
Address = Annotated[str, AfterValidator(address)]
SourceName = Annotated[str, AfterValidator(source_name)]
TenantName = Annotated[str, AfterValidator(tenant_name)]
Boundary = Annotated[str, AfterValidator(boundary)]
Positive = Annotated[int, Field(ge=1)]


def host_port(address: str) -> tuple[str, int]:
    """`[::1]:5514` as `("::1", 5514)`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
