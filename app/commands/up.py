"""`northbound up`, `down`: run everything in northbound.yaml, and stop it from elsewhere."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import ConfigOption, completed, configured
from app.config import DEFAULT_PATH, Config, host_port
from app.output import errors, fail

DOWN_S = 90.0


def up(
    *,
    ingest: Annotated[bool, typer.Option(help="Run the ingest agent here.")] = True,
    workers: Annotated[bool, typer.Option(help="Run the stream workers here.")] = True,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run everything in northbound.yaml until Ctrl-C; a later start resumes with data and state.

    Example: northbound up --config /etc/northbound/northbound.yaml
    """
    from app.broker.errors import BrokerError
    from app.config import ConfigError
    from app.deployment import ClusterError, Deployment, DeploymentError

    settings = configured(config, ingest=ingest, deliveries=workers)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    deployment = Deployment(config, settings, _say, ingest=ingest, workers=workers)
    try:
        deployment.start(stopping)
        if not stopping.is_set():
            _say(_summary(settings, config, senders=ingest))
        while not stopping.wait(1.0):
            deployment.check()
        _say("Stopping: agent, workers, Kafka")
    except ConfigError as error:
        fail(completed(config, error, ingest=ingest, deliveries=workers))
    except (BrokerError, ClusterError, DeploymentError) as error:
        fail(error)
    finally:
        deployment.stop()
    _say("Stopped. Data and state stay; `northbound up` resumes.")


def down(*, config: ConfigOption = DEFAULT_PATH) -> None:
    """Stop what `northbound up` runs with this northbound.yaml, and wait until it has.

    Example: northbound down
    """
    from app.up_lock import owner

    settings = configured(config)
    pid = owner(settings.state)
    if pid is None:
        typer.echo("Nothing runs with this northbound.yaml.")
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_S
    while owner(settings.state) is not None:
        if time.monotonic() > deadline:
            fail(f"process {pid} did not stop within {DOWN_S:.0f} s; see {settings.state / 'log'}")
        time.sleep(0.1)
    typer.echo("Stopped.")


def _summary(config: Config, path: Path, *, senders: bool) -> str:
    lines = ["Up."]
    if senders:
        lines += [
            f"  senders     {each.protocol} {each.listen} → {each.source}"
            for each in config.listeners
        ]
        lines += [f"  connector   {each.type} → {each.source}" for each in config.connectors]
    lines += [f"  delivery    {each.name} → {each.to.type}" for each in config.deliveries]
    lines += [f"  response    {each.name} → {each.to.type}" for each in config.responses]
    embedded = config.kafka.embedded
    if embedded is not None:
        lines.append(f"  consumers   SASL_SSL {embedded.northbound.advertise}")
        host, port = host_port(embedded.internal)
        lines.append(f"  internal    {host}:{port}")
    option = "" if path == DEFAULT_PATH else f" --config {path}"
    lines += [
        f"  bundle      northbound tenants bundle <tenant> --out DIR{option}",
        f"  look        northbound status{option}; northbound tail alerts{option}",
        "  stop        Ctrl-C",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    errors.print(text, markup=False)
