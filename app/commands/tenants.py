"""`northbound tenants`: who receives what, and with which rights. Adds and removes a tenant."""

from typing import Annotated

import typer

from app import tenant_files
from app.commands.given_password import AskOption, FileOption, given_password
from app.commands.known_tenant import NameArgument
from app.commands.left_to_others import left_to_others
from app.commands.options import ConfigOption, configured
from app.commands.signed_certificate import SignedOption, say_what_waits
from app.commands.tenant_list import list_
from app.commands.tenant_logins import OutOption, bundle, hand_over, rotate
from app.commands.tenant_pauses import pause, resume
from app.commands.topics import YesOption, confirm, connected, declaration, reported
from app.config import DEFAULT_PATH
from app.config.references import naming
from app.output import WRONG_USAGE, fail, rows

app = typer.Typer(help="Tenants: who receives what, with which rights.", no_args_is_help=True)


@app.command()
def add(
    name: NameArgument,
    *,
    source: Annotated[
        list[str] | None, typer.Option(help="Give it this source; repeat. Default: all.")
    ] = None,
    feed: Annotated[
        list[str] | None, typer.Option(help="events or alerts; repeat. Default: both.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Of its feeds. Default: ocsf-json.")
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(help="Attribute that it may not read, as actor.user.name=hash or =drop."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Attribute, or actor.user.*, of its events; repeat.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Attribute that its events are without; repeat.")
    ] = None,
    main: Annotated[
        bool, typer.Option("--main", help="It may read the topics of all tenants, too.")
    ] = False,
    mechanism: Annotated[
        str | None, typer.Option(help="SCRAM-SHA-256 (default) or SCRAM-SHA-512, of its bundle.")
    ] = None,
    by_certificate: Annotated[
        bool, typer.Option("--by-certificate", help="It logs in by a certificate, not a password.")
    ] = False,
    certificate: SignedOption = None,
    ask_password: AskOption = False,
    password_file: FileOption = None,
    out: OutOption = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Write tenants.d/NAME.yaml (unless the tenant is configured), make topics, user and rights,
    and write the bundle to hand over.

    Example: northbound tenants add acme --source qumulo
    """
    from app import audit, certificate_trial, logins
    from app.broker import admin, client_certificates, difference_lines, quotas, rights
    from app.schema_registry.subjects import schema_ids

    settings = configured(config)
    try:
        rights.check_name(name)
    except ValueError as error:
        fail(error, WRONG_USAGE)
    password = given_password(ask_password, password_file, [name, settings.names.prefix])
    if by_certificate and (password or mechanism):
        fail("--by-certificate takes no password and no mechanism.", WRONG_USAGE)
    with reported():
        if name not in settings.tenants:
            content = {
                "sources": source or list(settings.sources),
                "feeds": feed or ["events", "alerts"],
                "format": format_ or "ocsf-json",
                **tenant_files.choices(mask or [], keep or [], leave_out or []),
                **({"main": True} if main else {}),
                **({"mechanism": mechanism} if mechanism else {}),
                **({"login": "certificate"} if by_certificate else {}),
            }
            settings, declared = tenant_files.add(config, settings, name, content, declaration)
        elif any((source, feed, format_, mask, keep, leave_out, main, mechanism, by_certificate)):
            place = tenant_files.written_in(settings, config, name)
            fail(f"{name} is configured already; change it in {place}")
        else:
            declared = declaration(settings)
        topics = [topic for topic in declared if topic.tenant in {None, name}]
        schema_ids(settings, [name])
        client = connected(settings)
        if certificate is not None:
            logins.check_signed(settings, name)
        if settings.unmanaged:
            new = logins.keep(settings, name, password, certificate)
            if new is not None:
                client_certificates.answered(new)
            todo = [
                *certificate_trial.listener(settings, name),
                *difference_lines.told(settings, client, topics, name),
            ]
            rows([{"to_do": each} for each in todo], ["to_do"], json=False, title="Not managed")
            say_what_waits(settings, name)
            return
        audited = audit.Writer(settings.client(), settings.names)
        admin.ensure(client, topics, settings.replication)
        logins.ensure(settings, client, name, password, certificate)
        left = quotas.ensure(
            settings.client(),
            settings.names,
            quotas.of_users(settings, name),
            difference_lines.commands_for(settings),
        )
        details = {"password": "given"} if password else {}
        audited.record("tenant.add", name, details)
        wrong = certificate_trial.trial(settings, name)
    typer.echo(
        f"Tenant {name} is set up. Workers that run already write its feeds within half a minute."
    )
    if not logins.lacks_certificate(settings, name):
        hand_over(settings, name, out)
    for each in left:
        typer.echo(f"To do by whoever manages the cluster: {each}")
    if wrong is not None:
        typer.echo(wrong)
    say_what_waits(settings, name)


app.command("list")(list_)
app.command()(bundle)
app.command()(rotate)
app.command()(pause)
app.command()(resume)


@app.command()
def remove(
    name: NameArgument,
    *,
    topics: Annotated[bool, typer.Option("--topics", help="Delete its topics too.")] = False,
    yes: YesOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Take the tenant's rights and user away at once; its topics stay unless --topics.

    Deliveries that still run with an older northbound.yaml send nothing of it any more.

    Example: northbound tenants remove acme
    """
    from app import audit, logins, unmanaged
    from app.broker import admin, client_certificates, quotas, rights, tenants

    settings = configured(config)
    try:
        rights.check_name(name)
    except ValueError as error:
        fail(error, WRONG_USAGE)
    file = tenant_files.file_of(settings, name)
    if name in settings.tenants and not file.is_file():
        fail(f"Tenant {name} stands in {config}: remove it there, then run this again.")
    if named := [at for at, tenant in naming(settings) if tenant == name]:
        text = f"saw {name!r}: take this out, then run this again"
        fail("\n".join(settings.problem(at, text) for at in named))
    also = f", and delete the topics {settings.names.tenant_prefix(name)}*" if topics else ""
    confirm(f"Take all rights of tenant {name} away{also}?", yes=yes)
    if settings.unmanaged:
        left = unmanaged.remove(settings, name, topics=topics)
        logins.forget(settings, name)
        file.unlink(missing_ok=True)
        left_to_others(
            f"Tenant {name} and what it logs in by are removed here. It reads on until whoever "
            "manages the cluster has run:",
            left,
        )
    with reported():
        client = connected(settings)
        users = [name, *client_certificates.logins(settings.credentials, [name])[name]]
        tenants.remove(client, settings.names, name, settings.credentials)
        for each in users:
            quotas.remove(settings.client(), settings.names, each)
        file.unlink(missing_ok=True)
        audit.record(settings.client(), settings.names, "tenant.remove", name)
        if topics:
            prefix = settings.names.tenant_prefix(name)
            admin.delete(
                client, [each for each in admin.existing(client) if each.startswith(prefix)]
            )
    typer.echo(f"Tenant {name} is removed.")
