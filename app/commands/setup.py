"""`northbound setup`: topics, tenants' users, rights and bundles, then the end."""

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.options import ConfigOption, configured
from app.commands.topics import declaration, reported
from app.config import DEFAULT_PATH
from app.output import fail, rows

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from app.config import Config

POLL_S = 0.2


def setup(
    *,
    bundles: Annotated[
        Path | None, typer.Option(help="Write each tenant's bundle into a folder in here.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the brokers.")] = 120.0,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Bring Kafka in line with northbound.yaml and end; run it again after each change.

    Waits until as many brokers are there as topics get replicas. What is as declared is left alone.

    Example: northbound setup --bundles bundles
    """
    from app import audit, logins
    from app import bundles as writer
    from app.broker import admin, difference, difference_lines, quotas
    from app.schema_registry.subjects import schema_ids

    settings = configured(config)
    external = settings.kafka.external
    client, names = settings.client(), settings.names
    with reported():
        topics = declaration(settings)
        kafka = admin.connect(client)
        advice = (
            "Start the embedded one with `northbound up`, which also does what setup does."
            if external is None
            else "Are all up? kafka.external.replication says how many are needed."
        )
        _wait_for_brokers(kafka, settings.replication, wait, advice)
        if settings.unmanaged:
            todo = difference_lines.told(settings, kafka, topics)
            rows([{"to_do": each} for each in todo], ["to_do"], json=False, title="Not managed")
            _tell_of_logins(settings)
            return
        schema_ids(settings)
        audited = audit.Writer(client, names)
        before = difference.compare(settings, kafka, topics)
        for change in admin.ensure(kafka, topics, settings.replication):
            audited.record(f"topic.{change.action}", change.topic)
            typer.echo(str(change))
        for name in settings.tenants:
            missing = name in before.tenants
            logins.ensure(settings, kafka, name)
            if missing:
                audited.record("tenant.add", name)
            if bundles is not None and not logins.lacks_certificate(settings, name):
                writer.write(settings, name, bundles / name)
            typer.echo(f"tenant {name} {'is set up' if missing else 'is as declared'}")
        _tell_of_logins(settings)
        how = difference_lines.commands_for(settings)
        for each in quotas.ensure(client, names, quotas.of_users(settings), how):
            typer.echo(f"To do by whoever manages the cluster: {each}")


def _tell_of_logins(settings: "Config") -> None:
    """What is to be done about passwords and certificates."""
    from app import logins

    for each in logins.all_told(settings, dt.datetime.now(dt.UTC)):
        typer.echo(each)


def _wait_for_brokers(kafka: "AdminClient", count: int, seconds: float, advice: str) -> None:
    """Return when `count` brokers are in the cluster; end the command when they do not come."""
    from confluent_kafka import KafkaException

    deadline = time.monotonic() + seconds
    found = 0
    while found < count:
        try:
            found = len(kafka.list_topics(timeout=2.0).brokers)
        except KafkaException:
            found = 0
        if found < count:
            if time.monotonic() > deadline:
                fail(f"{found} of {count} brokers answer after {seconds:.0f} s. {advice}")
            time.sleep(POLL_S)
