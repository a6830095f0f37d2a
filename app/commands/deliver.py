"""`northbound deliver`: pushes tenants' feeds to receivers that do not read Kafka."""

import asyncio
import logging
from typing import Annotated

import typer

from app.commands.options import ConfigOption, configured
from app.config import DEFAULT_PATH, ConfigError, host_port
from app.output import WRONG_USAGE, fail

STATUS = "deliver"


def deliver(
    name: Annotated[
        str | None, typer.Argument(help="One of the deliveries. Default: all.", show_default=False)
    ] = None,
    *,
    web: Annotated[
        str | None, typer.Option(help="Address for /metrics instead of delivering.web.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run the deliveries of northbound.yaml, or one of them, until SIGTERM or Ctrl-C.

    `northbound up` does it too. Each goes on where its receiver has acknowledged.

    Example: northbound deliver acme-siem
    """
    from app.deliver.process import run
    from app.deliver.registry import all_settings
    from app.supervisor import end_with_parent

    settings = configured(config)
    chosen = [each for each in settings.deliveries if name in (None, each.name)]
    if not chosen:
        known = ", ".join(each.name for each in settings.deliveries)
        if not known:
            fail("northbound.yaml has no deliveries; docs/deliveries.md says what they look like")
        fail(f"no delivery {name!r}; expected one of {known}", WRONG_USAGE)
    end_with_parent()
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    status = STATUS if name is None else f"{STATUS}-{name}"
    address = host_port(web or settings.delivering.web)
    try:
        made = all_settings(settings, chosen)
        names = settings.names
        asyncio.run(run(made, settings.client(), names, address, settings.state, status))
    except (ConfigError, OSError) as error:
        fail(error)
