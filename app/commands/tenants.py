"""`northbound tenants add|list|rotate|remove|bundle`: who receives what, and with which rights."""

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.commands.topics import YesOption, confirm, connected, declaration, reported
from app.config import DEFAULT_PATH, Config
from app.output import FAILED, WRONG_USAGE, fail, rows

if TYPE_CHECKING:
    from topology.topics import Topic

app = typer.Typer(help="Tenants: who receives what, with which rights.", no_args_is_help=True)

LEFT_TO_OTHERS = 2
"""Exit status where whoever manages the cluster has to do it, as of `topics apply`."""

NameArgument = Annotated[str, typer.Argument(help="Lower-case letters, digits and -.")]
AskOption = Annotated[
    bool, typer.Option("--ask-password", help="Ask for the password instead of making one.")
]
FileOption = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Take the password from here: one line."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder; default: bundles/NAME.")
]


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
    format_: Annotated[str, typer.Option("--format", help="Of its feeds.")] = "ocsf-json",
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
    mechanism: Annotated[
        str | None, typer.Option(help="SCRAM-SHA-256 (default) or SCRAM-SHA-512, of its bundle.")
    ] = None,
    by_certificate: Annotated[
        bool, typer.Option("--by-certificate", help="It logs in by a certificate, not a password.")
    ] = False,
    ask_password: AskOption = False,
    password_file: FileOption = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Write tenants.d/NAME.yaml (unless the tenant is configured), and make topics, user, rights.

    Example: northbound tenants add acme --source qumulo
    """
    from app import audit, logins
    from app.broker import admin, difference_lines, quotas, rights, tenants
    from app.schema_registry.subjects import schema_ids

    settings = configured(config)
    try:
        rights.check_name(name)
    except ValueError as error:
        fail(error, WRONG_USAGE)
    password = _password(ask_password, password_file, [name, settings.names.prefix])
    if by_certificate and (password or mechanism):
        fail("--by-certificate takes no password and no mechanism.", WRONG_USAGE)
    with reported():
        if name not in settings.tenants:
            content = {
                "sources": source or list(settings.sources),
                "feeds": feed or ["events", "alerts"],
                "format": format_,
                **_choices(mask or [], keep or [], leave_out or []),
                **({"mechanism": mechanism} if mechanism else {}),
                **({"login": "certificate"} if by_certificate else {}),
            }
            settings, declared = _configure(config, settings, name, content)
        elif source or feed or mask or keep or leave_out or mechanism or by_certificate:
            fail(
                f"{name} is configured already; change it in {_written_in(settings, config, name)}"
            )
        else:
            declared = declaration(settings)
        topics = [topic for topic in declared if topic.tenant in {None, name}]
        schema_ids(settings, [name])
        client = connected(settings)
        if settings.unmanaged:
            tenants.keep(settings.credentials, name, password)
            todo = difference_lines.told(settings, client, topics, name)
            rows([{"to_do": each} for each in todo], ["to_do"], json=False, title="Not managed")
            return
        audited = audit.Writer(settings.client(), settings.names)
        admin.ensure(client, topics, settings.replication)
        logins.ensure(settings, client, name, password)
        left = quotas.ensure(
            settings.client(),
            settings.names,
            quotas.of_users(settings, name),
            difference_lines.commands_for(settings),
        )
        details = {"password": "given"} if password else {}
        audited.record("tenant.add", name, details)
    typer.echo(
        f"Tenant {name} is set up. Workers that run already write its feeds after a restart "
        f"(`northbound up`). Next: northbound tenants bundle {name}"
    )
    for each in left:
        typer.echo(f"To do by whoever manages the cluster: {each}")


@app.command("list")
def list_(*, json: JsonOption = False, config: ConfigOption = DEFAULT_PATH) -> None:
    """Show each tenant's sources and feeds, who reads them and how far behind, and whether its user
    and rights are in the cluster.

    Example: northbound tenants list
    """
    from app import consumers, logins
    from app.broker import client_certificates, rights, tenants

    settings = configured(config)
    with reported():
        client = connected(settings)
        found = tenants.users(client, settings.names, settings.tenants)
        held = {
            name: client_certificates.held(settings.credentials, name) for name in settings.tenants
        }
        rotating = {name: logins.rotating(settings, name) for name in settings.tenants}
        reading = consumers.readers(settings, settings.tenants)
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=client_certificates.WARN_DAYS)
    table = []
    for name, tenant in settings.tenants.items():
        user = found.get(name)
        has = user.rights if user else ()
        paused = rights.paused(has, settings.names, name)
        users = [each.login for each in held[name]]
        denied = rights.pauses(settings.names, name, paused, users)
        missing, surplus = rights.differences(settings.names, [name], {name: has}, {name: users})
        by_certificate = tenant.login == "certificate"
        known = bool(held[name]) if by_certificate else bool(user and user.mechanisms)
        groups = reading[name]
        lags = [each.lag for each in groups if each.lag is not None]
        table.append(
            {
                "tenant": name,
                "sources": tenant.sources,
                "feeds": tenant.feeds,
                "format": tenant.format,
                "login": tenant.login,
                "user": user.name if user and known else None,
                "certificates": [
                    {"user": rights.user_name(settings.names, each.login), "ends": each.ends}
                    for each in held[name]
                ],
                "mechanisms": list(user.mechanisms) if user else [],
                "rights": sorted(rights.acl_text(each) for each in has if each not in denied),
                "paused": paused,
                "rotating": rotating[name] is not None,
                "state": _state(missing[name], surplus[name], paused, known=known),
                "connected": sum(len(each.members) for each in groups),
                "lag": max(lags, default=None),
                "rate": round(sum(each.rate for each in groups), 1),
                "groups": [
                    {
                        "group": each.group,
                        "state": each.state,
                        "members": each.members,
                        "lag": each.lag,
                        "rate": each.rate,
                    }
                    for each in groups
                ],
            }
        )
        if table[-1]["rotating"]:
            table[-1]["state"] = f"{table[-1]['state']}, old {rotating[name]} works, too"
        if by_certificate and held[name] and held[name][-1].ends < soon:
            table[-1]["state"] = (
                f"{table[-1]['state']}, certificate to {held[name][-1].ends:%Y-%m-%d}"
            )
    columns = ["tenant", "sources", "feeds", "user", "state", "connected", "lag", "rate"]
    rows(table, columns, json=json, title="Tenants")


@app.command()
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
    """Write the folder that the tenant needs to connect: CA, trust stores, consumers, and files
    for Logstash, Filebeat, Vector, Fluent Bit, Redpanda Connect, Splunk, Sentinel and rsyslog.

    Example: northbound tenants bundle acme --out /tmp/acme --zip
    """
    from app import bundles
    from app.broker.bundle import pack

    settings = configured(config)
    _known(settings, name)
    if region is not None and region not in settings.kafka.regions:
        known = ", ".join(settings.kafka.regions) or "none"
        fail(f"--region: saw {region!r}, expected one of kafka.regions: {known}", WRONG_USAGE)
    folder = out or settings.home / "bundles" / name
    with reported():
        bundles.write(settings, name, folder, region)
    secret = "key" if settings.tenants[name].login == "certificate" else "password"
    typer.echo(f"{folder} holds {name}'s {secret}: hand it over on a private way. See README.md.")
    if zipped:
        typer.echo(f"{pack(folder)} holds the same.")


@app.command()
def rotate(
    name: NameArgument,
    *,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Let the old password work on until --finish.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="End an overlap: refuse the old password.")
    ] = False,
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
    from app import audit, bundles, rotation

    settings = configured(config)
    _known(settings, name)
    if overlap and finish:
        fail("--overlap begins what --finish ends: give one of them.", WRONG_USAGE)
    password = None
    if finish and (ask_password or password_file):
        fail("--finish keeps the new password, so that it takes none.", WRONG_USAGE)
    if not finish:
        password = _password(ask_password, password_file, [name, settings.names.prefix])
    folder = out or settings.home / "bundles" / name
    kind = (
        rotation.Kind.OVERLAP if overlap else rotation.Kind.FINISH if finish else rotation.Kind.NOW
    )
    with reported():
        done = rotation.rotate(settings, lambda: connected(settings), name, kind, password)
        if not done.commands:
            details = {"overlap": kind.value, **({"password": "given"} if password else {})}
            audit.record(settings.client(), settings.names, "tenant.rotate", name, details)
        bundles.write(settings, name, folder)
    if done.commands:
        typer.echo("Works once whoever manages the cluster has run:")
        for each in done.commands:
            typer.echo(each)
    typer.echo(f"{done.text} The new bundle is {folder}.")


@app.command()
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
    _known(settings, name)
    feeds = feed or list(rights.FEEDS)
    if unknown := [each for each in feeds if each not in rights.FEEDS]:
        fail(f"--feed: saw {unknown[0]!r}, expected {' or '.join(rights.FEEDS)}", WRONG_USAGE)
    if settings.unmanaged:
        _left_to_others(
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


@app.command()
def resume(name: NameArgument, *, config: ConfigOption = DEFAULT_PATH) -> None:
    """Let a paused tenant read on: what was written meanwhile comes first.

    Example: northbound tenants resume acme
    """
    from app import audit, unmanaged
    from app.broker import client_certificates, tenants

    settings = configured(config)
    _known(settings, name)
    if settings.unmanaged:
        _left_to_others(
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


@app.command()
def remove(
    name: NameArgument,
    *,
    topics: Annotated[bool, typer.Option("--topics", help="Delete its topics too.")] = False,
    yes: YesOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Take the tenant's rights and user away at once; its topics stay unless --topics.

    Example: northbound tenants remove acme
    """
    from app import audit, unmanaged
    from app.broker import admin, client_certificates, credentials, quotas, rights, tenants

    settings = configured(config)
    try:
        rights.check_name(name)
    except ValueError as error:
        fail(error, WRONG_USAGE)
    file = _file(settings, name)
    if name in settings.tenants and not file.is_file():
        fail(f"Tenant {name} stands in {config}: remove it there, then run this again.")
    also = f", and delete the topics {settings.names.tenant_prefix(name)}*" if topics else ""
    confirm(f"Take all rights of tenant {name} away{also}?", yes=yes)
    if settings.unmanaged:
        left = unmanaged.remove(settings, name, topics=topics)
        credentials.remove(settings.credentials, name)
        file.unlink(missing_ok=True)
        _left_to_others(
            f"Tenant {name} and its password are removed here. It reads on until whoever manages "
            "the cluster has run:",
            left,
        )
    with reported():
        client = connected(settings)
        users = [name, *client_certificates.logins(settings.credentials, [name])[name]]
        tenants.remove(client, settings.names, name, settings.credentials)
        for each in users:
            quotas.remove(settings.client(), settings.names, each)
        file.unlink(missing_ok=True)
        if topics:
            prefix = settings.names.tenant_prefix(name)
            admin.delete(
                client, [each for each in admin.existing(client) if each.startswith(prefix)]
            )
        audit.record(settings.client(), settings.names, "tenant.remove", name)
    typer.echo(f"Tenant {name} is removed.")


def _file(settings: Config, name: str) -> Path:
    return settings.home / "tenants.d" / f"{name}.yaml"


def _written_in(settings: Config, config: Path, name: str) -> Path:
    file = _file(settings, name)
    return file if file.is_file() else config


def _configure(
    config: Path, settings: Config, name: str, content: Mapping[str, object]
) -> "tuple[Config, list[Topic]]":
    """Write tenants.d/NAME.yaml; the configuration with it, and the topics that it asks for. A bad
    one is taken back."""
    import yaml

    from app.config import ConfigError, load

    file = _file(settings, name)
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
    except OSError as error:
        fail(f"{file}: {error.strerror}", FAILED)
    try:
        changed = load(config)
        return changed, declaration(changed)
    except ConfigError:
        file.unlink()
        raise


def _choices(
    mask: Sequence[str], keep: Sequence[str], leave_out: Sequence[str]
) -> dict[str, object]:
    """What of its feeds a tenant has chosen, as its file has it."""
    pairs = [each.rpartition("=") for each in mask]
    fields = {"keep": list(keep), "leave_out": list(leave_out)}
    found: dict[str, dict[str, object]] = {
        "mask": {name: action for name, _, action in pairs},
        "fields": {key: names for key, names in fields.items() if names},
    }
    return {key: choice for key, choice in found.items() if choice}


def _password(ask: bool, file: Path | None, names: Sequence[str]) -> str | None:
    """The password that a person gives; None if one is to be made. It is in no message."""
    from app.broker import passwords

    if ask and file is not None:
        fail("--ask-password and --password-file exclude each other.", WRONG_USAGE)
    if ask:
        if not sys.stdin.isatty():
            fail("Nobody to ask for a password; give --password-file.", WRONG_USAGE)
        typer.echo(f"A password has {passwords.CONDITIONS}.")
        given = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    elif file is not None:
        try:
            given = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            fail(f"{file}: {reason}; expected a file with the password in one line")
    else:
        return None
    try:
        return passwords.check(given, names)
    except passwords.PasswordError as error:
        fail(error)


def _known(settings: Config, name: str) -> None:
    if name not in settings.tenants:
        known = ", ".join(settings.tenants) or "none"
        fail(f"No tenant {name}; configured: {known}. `northbound tenants add {name}` makes it.")


def _left_to_others(text: str, commands: Sequence[str]) -> NoReturn:
    """Print what is to be done by whoever manages the cluster, and end as `topics apply` does."""
    typer.echo(text)
    for each in commands:
        typer.echo(each)
    raise typer.Exit(LEFT_TO_OTHERS)


def _state(
    missing: Sequence[object], surplus: Sequence[object], paused: list[str], *, known: bool
) -> str:
    """In one word or two, what is wrong."""
    if not known:
        return "no user"
    if missing:
        return "rights missing"
    if surplus:
        return "rights too wide"
    return f"paused: {' and '.join(paused)}" if paused else "ready"
