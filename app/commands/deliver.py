"""`northbound deliver`: pushes tenants' feeds to receivers that do not read Kafka, and responds."""

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.options import ConfigOption, completed, configured
from app.config import DEFAULT_PATH, Config, ConfigError, host_port
from app.output import WRONG_USAGE, fail

if TYPE_CHECKING:
    from app.deliver.settings import DeliverySettings

STATUS = "deliver"


def deliver(
    name: Annotated[
        str | None,
        typer.Argument(
            help="One of the deliveries and responses. Default: all.", show_default=False
        ),
    ] = None,
    *,
    web: Annotated[
        str | None, typer.Option(help="Address for /metrics instead of delivering.web.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run the deliveries and responses of northbound.yaml, or one, until SIGTERM or Ctrl-C.

    `northbound up` does it too. Each goes on where its receiver has acknowledged.

    Example: northbound deliver acme-siem
    """
    from app.deliver.process import run
    from app.supervisor import end_with_parent

    settings = configured(config, deliveries=True)
    known = [each.name for each in settings.deliveries]
    known += [each.name for each in settings.responses]
    if not known:
        fail(
            "northbound.yaml has no deliveries and no responses; docs/deliveries.md and "
            "docs/responses.md say what they look like"
        )
    if name not in (None, *known):
        expected = ", ".join(known)
        fail(f"no delivery or response {name!r}; expected one of {expected}", WRONG_USAGE)
    end_with_parent()
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    status = STATUS if name is None else f"{STATUS}-{name}"
    address = host_port(web or settings.delivering.web)
    try:
        made, names = _chosen(settings, name), settings.names
        asyncio.run(run(made, settings.client(), names, address, settings.state, status))
    except ConfigError as error:
        fail(completed(config, error, deliveries=True))
    except OSError as error:
        fail(error)


def _chosen(config: Config, name: str | None) -> "list[DeliverySettings]":
    """All, or the one of this name. Deliveries alone need nothing of what alerts are matched on.

    Raises ConfigError with every mistake.
    """
    if config.responses:
        from app.respond import registry

        return registry.all_settings(config, name)
    from app.deliver.registry import all_settings

    return all_settings(config, [each for each in config.deliveries if name in (None, each.name)])
