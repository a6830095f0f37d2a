"""Kinds of receivers: one line for each."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.config.connection import ConfigError
from app.config.deliveries import FileDelivery
from app.deliver import file, http_receivers, relp, syslog
from app.deliver.destination import Destination
from app.deliver.http import HttpDestination
from app.deliver.settings import DeliverySettings, feeds_of, lanes_of

if TYPE_CHECKING:
    from app.config import Config
    from app.config.deliveries import Delivery


class Kind(NamedTuple):
    """`settings(config, delivery, to, feeds)`; `destination(those, waiting)`."""

    settings: Callable[..., Any]
    destination: Callable[..., Destination]


KINDS: Final[Mapping[str, Kind]] = {
    "syslog": Kind(syslog.settings, syslog.SyslogDestination),
    "relp": Kind(relp.settings, relp.RelpDestination),
    "http": Kind(http_receivers.http, HttpDestination),
    "elastic": Kind(http_receivers.elastic, HttpDestination),
    "splunk": Kind(http_receivers.splunk, HttpDestination),
    "azure": Kind(http_receivers.azure, HttpDestination),
    "file": Kind(file.settings, file.FileDestination),
}


def all_settings(
    config: "Config", deliveries: "Sequence[Delivery] | None" = None
) -> list[DeliverySettings]:
    """Of all deliveries, or of these. Raises ConfigError with every mistake."""
    problems, made = [], []
    for each in config.deliveries if deliveries is None else deliveries:
        try:
            made.append(delivery_settings(config, each))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return made


def delivery_settings(config: "Config", delivery: "Delivery") -> DeliverySettings:
    """Raises ConfigError for a secret or a certificate that is not where it should be."""
    kind, to, feeds = KINDS[delivery.to.type], delivery.to, feeds_of(config, delivery)
    if isinstance(to, FileDelivery):
        lanes: tuple[tuple[str, ...], ...] = ((str(config.path(to.path)),),)
    else:
        lanes = lanes_of(to.addresses, to.mode)
    return DeliverySettings(
        name=delivery.name,
        tenant=delivery.tenant,
        kind=to.type,
        feeds=feeds,
        from_end=delivery.start == "end",
        group=config.names.group(f"deliver-{delivery.name}"),
        lanes=lanes,
        shares=len(lanes) > 1 or isinstance(to, FileDelivery),
        make=partial(kind.destination, kind.settings(config, delivery, to, feeds)),
    )
