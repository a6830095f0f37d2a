"""`northbound tenants bundle|rotate`: what a tenant connects with, written and made anew."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.commands.given_password import AskOption, FileOption, given_password
from app.commands.known_tenant import NameArgument, check_known
from app.commands.options import ConfigOption, configured
from app.commands.signed_certificate import SignedOption, say_what_waits
from app.commands.topics import connected, reported
from app.config import DEFAULT_PATH, Config
from app.output import WRONG_USAGE, fail

OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder; default: bundles/NAME.")
]


def bundle(
    name: NameArgument,
    *,
    out: OutOption = None,
    zipped: Annotated[bool, typer.Option("--zip", help="Also as FOLDER.zip.")] = False,
    region: Annotated[
        str | None, typer.Option(help="Name this region's brokers; default: the tenant's region.")
    ] = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Write the folder that the tenant needs to connect: CA, trust stores, consumers in Python, Go
    and Node, doctor.py, and files for Java, kcat, Logstash, Sentinel, Filebeat, Elastic Agent,
    Vector, Fluent Bit, Redpanda Connect, Splunk and rsyslog.

    Example: northbound tenants bundle acme --out /tmp/acme --zip
    """
    from app.broker.bundle import pack

    settings = configured(config)
    check_known(settings, name)
    if region is not None and region not in settings.kafka.regions:
        known = ", ".join(settings.kafka.regions) or "none"
        fail(f"--region: saw {region!r}, expected one of kafka.regions: {known}", WRONG_USAGE)
    folder, files = hand_over(settings, name, out, region)
    if zipped:
        with _written(name):
            packed = pack(folder, files)
        typer.echo(f"{packed} holds the same.")


def hand_over(
    settings: Config, name: str, out: Path | None = None, region: str | None = None
) -> tuple[Path, Sequence[Path]]:
    """Write the tenant's bundle and say what it is; its folder and files."""
    from app import bundles

    folder = out or settings.home / "bundles" / name
    with reported(), _written(name):
        files = bundles.write(settings, name, folder, region)
    secret = "key" if settings.tenants[name].login == "certificate" else "password"
    typer.echo(f"{folder} holds {name}'s {secret}: hand it over on a private way. See README.md.")
    return folder, files


def rotate(
    name: NameArgument,
    *,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Let the old password work on until --finish.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="End an overlap: refuse the old password.")
    ] = False,
    certificate: SignedOption = None,
    ask_password: AskOption = False,
    password_file: FileOption = None,
    out: OutOption = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Give the tenant a new password, or certificate, and write a new bundle; the old one is
    refused at once, and clients have to reconnect with the new bundle, unless --overlap.

    With --overlap the new bundle logs in by the other SCRAM mechanism, for which Kafka keeps a
    password of its own, or with a second certificate; both bundles work until --finish.

    Example: northbound tenants rotate acme --overlap
    """
    from app import audit, bundles, logins, rotation

    settings = configured(config)
    check_known(settings, name)
    if overlap and finish:
        fail("--overlap begins what --finish ends: give one of them.", WRONG_USAGE)
    password = None
    if finish and (ask_password or password_file or certificate):
        fail("--finish keeps the new password or certificate; it takes none.", WRONG_USAGE)
    if not finish:
        password = given_password(ask_password, password_file, [name, settings.names.prefix])
    folder = out or settings.home / "bundles" / name
    kind = (
        rotation.Kind.OVERLAP if overlap else rotation.Kind.FINISH if finish else rotation.Kind.NOW
    )
    with reported():
        if certificate is not None:
            logins.check_signed(settings, name)
        elif not finish and logins.signed_by_others(settings, name):
            logins.request(settings, name)
            say_what_waits(settings, name)
        done = rotation.rotate(
            settings, lambda: connected(settings), name, kind, password, certificate
        )
        if not done.commands:
            how = (done.kind or kind).value
            details = {"overlap": how, **({"password": "given"} if password else {})}
            audit.record(settings.client(), settings.names, "tenant.rotate", name, details)
        with _written(name):
            bundles.write(settings, name, folder)
    if done.commands:
        typer.echo("Works once whoever manages the cluster has run:")
        for each in done.commands:
            typer.echo(each)
    typer.echo(f"{done.text} The new bundle is {folder}.")


@contextmanager
def _written(name: str) -> Iterator[None]:
    """End the command where the folder cannot be written: what the tenant logs in by is kept."""
    try:
        yield
    except OSError as error:
        fail(
            f"{error.filename}: {error.strerror}. The bundle is not whole; what {name} logs in by "
            f"is kept here: `northbound tenants bundle {name} --out FOLDER` writes it."
        )
