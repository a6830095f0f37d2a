"""`northbound broker-files`: settings and certificates for brokers that others start."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import ConfigOption, configured
from app.config import DEFAULT_PATH
from app.output import fail


def broker_files(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; brokers see the same path.")],
    listen: Annotated[
        str, typer.Option(help="For consumers, in each broker; the next ones take the next ports.")
    ] = "0.0.0.0:9094",
    storage: Annotated[Path, typer.Option(help="Where each broker keeps its data.")] = Path(
        "/var/lib/kafka/data"
    ),
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Write server.properties and a certificate for each broker of kafka.external.

    The settings are those of the embedded broker. kafka.external.bootstrap (NORTHBOUND_BOOTSTRAP)
    names each broker's internal listener, kafka.external.northbound (NORTHBOUND_ADVERTISE) what
    consumers are told, in the same order. The internal listener asks no password: keep it on a
    network that only Northbound is on.

    Example: northbound broker-files --out /northbound/brokers
    """
    from app.broker import files
    from app.broker.errors import BrokerError

    settings = configured(config)
    external = settings.kafka.external
    if external is None or external.northbound is None:
        fail(
            "No brokers to write files for: set kafka.external.bootstrap and "
            "kafka.external.northbound, or NORTHBOUND_BOOTSTRAP and NORTHBOUND_ADVERTISE. "
            "`northbound up` needs no files for kafka.embedded."
        )
    try:
        wanted = files.brokers(external.bootstrap, external.northbound, listen)
        written = files.write(
            out,
            wanted,
            tls=settings.data / "tls",
            storage=storage,
            now=dt.datetime.now(dt.UTC),
        )
    except BrokerError as error:
        fail(error)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror}; give this user write access")
    for folder in written:
        typer.echo(str(folder))
