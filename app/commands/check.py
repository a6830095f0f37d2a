"""`northbound check`: everything that is wrong with northbound.yaml, before anything starts."""

from typing import Annotated

import typer

from app.commands.options import ConfigOption
from app.config import DEFAULT_PATH
from app.output import fail


def check(
    *,
    ingest: Annotated[bool, typer.Option(help="What the ingest agent needs, too.")] = True,
    workers: Annotated[bool, typer.Option(help="What deliveries need, too.")] = True,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Say everything that is wrong with northbound.yaml and with what it names; 0 if nothing is.

    Tenants, dictionaries, normalizers, rules, secrets and certificates are looked at. Nothing
    starts, and no Kafka is needed.

    Example: northbound check --config /etc/northbound/northbound.yaml
    """
    from app.checking import mistakes

    if found := mistakes(config, ingest=ingest, deliveries=workers):
        fail("\n".join(found))
    typer.echo(f"{config}: nothing is wrong")
