"""`northbound tenants pause|resume`: a tenant reads nothing for a while."""

from typing import Annotated

import typer

from app.commands.known_tenant import NameArgument, check_known
from app.commands.left_to_others import left_to_others
from app.commands.options import ConfigOption, configured
from app.commands.topics import YesOption, confirm, connected, reported
from app.config import DEFAULT_PATH
from app.output import WRONG_USAGE, fail


def pause(
    name: NameArgument,
    *,
    feed: Annotated[
        list[str] | None, typer.Option(help="events or alerts; repeat. Default: both.")
    ] = None,
    yes: YesOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Let the tenant read nothing for a while. Its feeds are written on and kept as long as their
    topics keep records; `resume` lets its consumers and deliveries go on where they stopped.

    Deliveries stop within two seconds. Meanwhile clients are told that they are not authorized:
    those on librdkafka wait, others may have to be started again.

    With kafka.external.manage: false this changes nothing, prints the commands for whoever manages
    the cluster, and ends with 2; so do resume and remove.

    Example: northbound tenants pause acme --feed events
    """
    from app import audit, unmanaged
    from app.broker import client_certificates, rights, tenants

    settings = configured(config)
    check_known(settings, name)
    feeds = feed or list(rights.FEEDS)
    if unknown := [each for each in feeds if each not in rights.FEEDS]:
        fail(f"--feed: saw {unknown[0]!r}, expected {' or '.join(rights.FEEDS)}", WRONG_USAGE)
    if settings.tenants[name].main and set(feeds) != set(rights.FEEDS):
        fail(f"{name} reads the feeds of all tenants (main): pause both feeds.", WRONG_USAGE)
    if settings.unmanaged:
        left_to_others(
            f"{name} reads on until whoever manages the cluster has run the following; its "
            "deliveries then stop, too, where Northbound's user may Describe the cluster.",
            unmanaged.pause(settings, name, feeds),
        )
    confirm(f"Stop {name} from reading {' and '.join(feeds)}?", yes=yes)
    with reported():
        users = client_certificates.logins(settings.credentials, [name])[name]
        tenants.pause(connected(settings), settings.names, name, feeds, users)
        details = {"feeds": ", ".join(feeds)}
        audit.record(settings.client(), settings.names, "tenant.pause", name, details)
    mine = [each for each in settings.deliveries if each.tenant == name]
    held = [each.name for each in mine if set(feeds) & set(each.feeds)]
    typer.echo(f"{name} reads no {' and no '.join(feeds)} until: northbound tenants resume {name}")
    if held:
        typer.echo(f"Deliveries that stop within two seconds: {', '.join(held)}")


def resume(name: NameArgument, *, config: ConfigOption = DEFAULT_PATH) -> None:
    """Let a paused tenant read on: what was written meanwhile comes first.

    Example: northbound tenants resume acme
    """
    from app import audit, unmanaged
    from app.broker import client_certificates, tenants

    settings = configured(config)
    check_known(settings, name)
    if settings.unmanaged:
        left_to_others(
            f"If {name} is paused, it reads on once whoever manages the cluster has run:",
            unmanaged.resume(settings, name),
        )
    with reported():
        users = client_certificates.logins(settings.credentials, [name])[name]
        feeds = tenants.resume(connected(settings), settings.names, name, users)
        if feeds:
            details = {"feeds": ", ".join(feeds)}
            audit.record(settings.client(), settings.names, "tenant.resume", name, details)
    typer.echo(f"{name} reads {' and '.join(feeds)} again." if feeds else f"{name} was not paused.")
