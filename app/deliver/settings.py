"""A delivery of northbound.yaml as its lanes are told it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from app.config.connection import ConfigError
from app.deliver.connection import ClientTls
from app.deliver.destination import Destination, Feed, Waiting
from app.deliver.refusals import Refusals
from app.deliver.secret import Secret

if TYPE_CHECKING:
    from app.config import Config
    from app.config.deliveries import Delivery, DeliveryTls

REFUSED: Final = "refused"
"""Folder of refused records, in that of the state."""
Place: TypeAlias = tuple[str | int, ...]
"""Keys and numbers that lead to something in northbound.yaml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """`make` gives a destination that is not connected; each of `lanes` is the addresses of one.
    `shares`: a lane leaves its partitions to others while it cannot deliver.

    `group`: the consumer group whose offsets say how far it is.
    """

    name: str
    tenant: str
    kind: str
    feeds: tuple[Feed, ...]
    from_end: bool
    group: str
    lanes: tuple[tuple[str, ...], ...]
    shares: bool
    make: Callable[[Waiting], Destination]


def feeds_of(config: "Config", delivery: "Delivery") -> tuple[Feed, ...]:
    """The topics of a delivery."""
    names, tenant = config.names, config.tenants[delivery.tenant]
    topics = {"events": names.events(delivery.tenant), "alerts": names.alerts(delivery.tenant)}
    return tuple(Feed(topics[feed], feed, tenant.format) for feed in dict.fromkeys(delivery.feeds))


def lanes_of(addresses: Sequence[str], mode: str) -> tuple[tuple[str, ...], ...]:
    """With `balance` each address is a lane, which has partitions of its own."""
    if mode == "balance":
        return tuple((address,) for address in addresses)
    return (tuple(addresses),)


def refusals(config: "Config", name: str) -> Refusals:
    """Where a delivery's refused records are kept."""
    return Refusals(name, config.state / REFUSED / f"{name}.ndjson")


def client_tls(config: "Config", at: Place, tls: "DeliveryTls | None") -> ClientTls | None:
    """With absolute paths. `at`: where it stands. Raises ConfigError for a file that cannot be
    used."""
    if tls is None:
        return None
    made = ClientTls(
        ca=config.path(tls.ca) if tls.ca else None,
        certificate=config.path(tls.certificate) if tls.certificate else None,
        key=config.path(tls.key) if tls.key else None,
        server_name=tls.server_name,
    )
    try:
        made.context()
    except OSError as error:
        raise ConfigError([config.problem(at, str(error.strerror))]) from None
    return made


def secret(
    config: "Config", at: Place, key: str, variable: str | None, file: Path | None
) -> Secret | None:
    """Of `<key>_env` or `<key>_file`, looked at once now, so that one that is missing stops the
    start. Raises ConfigError."""
    if variable is None and file is None:
        return None
    made = Secret(variable, config.path(file) if file is not None and variable is None else None)
    try:
        made.read()
    except OSError as error:
        where = (*at, f"{key}_{'file' if variable is None else 'env'}")
        raise ConfigError([config.problem(where, str(error.strerror))]) from None
    return made


def destination_of(config: "Config", delivery: "Delivery") -> Place:
    """Where its `to` stands in northbound.yaml."""
    return ("deliveries", config.deliveries.index(delivery), "to")
