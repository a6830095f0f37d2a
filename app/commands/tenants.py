"""`northbound tenants add|list|rotate|remove|bundle`: who receives what, and with which rights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.commands.topics import YesOption, confirm, connected, declaration, reported
from app.config import DEFAULT_PATH, Config
from app.output import FAILED, WRONG_USAGE, fail, rows

app = typer.Typer(help="Tenants: who receives what, with which rights.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Lower-case letters, digits and -.")]
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
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Write tenants.d/NAME.yaml (unless the tenant is configured), and make topics, user, rights.

    Example: northbound tenants add acme --source qumulo
    """
    from app import audit
    from app.broker import admin, difference_lines, quotas, rights, tenants

    settings = configured(config)
    try:
        rights.check_name(name)
    except ValueError as error:
        fail(error, WRONG_USAGE)
    with reported():
        if name not in settings.tenants:
            content = {
                "sources": source or list(settings.sources),
                "feeds": feed or ["events", "alerts"],
                "format": format_,
                **_choices(mask or [], keep or [], leave_out or []),
            }
            settings = _configure(config, settings, name, content)
        elif source or feed or mask or keep or leave_out:
            fail(
                f"{name} is configured already; change it in {_written_in(settings, config, name)}"
            )
        topics = [topic for topic in declaration(settings) if topic.tenant in {None, name}]
        client = connected(settings)
        external = settings.kafka.external
        if external is not None and not external.manage:
            todo = difference_lines.told(settings, client, topics, name)
            rows([{"to_do": each} for each in todo], ["to_do"], json=False, title="Not managed")
            return
        admin.ensure(client, topics, settings.replication)
        tenants.add(client, settings.names, name, settings.credentials)
        left = quotas.ensure(
            settings.client(),
            settings.names,
            quotas.declared(settings, name),
            difference_lines.commands_for(settings),
        )
        audit.record(settings.client(), settings.names, "tenant.add", name)
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
    from app import consumers
    from app.broker import rights, tenants

    settings = configured(config)
    with reported():
        client = connected(settings)
        found = tenants.users(client, settings.names, settings.tenants)
        reading = consumers.readers(settings, settings.tenants)
    table = []
    for name, tenant in settings.tenants.items():
        user = found.get(name)
        has = user.rights if user else ()
        paused = rights.paused(has, settings.names, name)
        denied = rights.pauses(settings.names, name, paused)
        missing, surplus = rights.differences(settings.names, [name], {name: has})
        groups = reading[name]
        lags = [each.lag for each in groups if each.lag is not None]
        table.append(
            {
                "tenant": name,
                "sources": tenant.sources,
                "feeds": tenant.feeds,
                "format": tenant.format,
                "user": user.name if user and user.mechanisms else None,
                "mechanisms": list(user.mechanisms) if user else [],
                "rights": sorted(rights.acl_text(each) for each in has if each not in denied),
                "paused": paused,
                "state": _state(
                    missing[name], surplus[name], paused, known=bool(user and user.mechanisms)
                ),
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
    columns = ["tenant", "sources", "feeds", "user", "state", "connected", "lag", "rate"]
    rows(table, columns, json=json, title="Tenants")


@app.command()
def bundle(
    name: NameArgument,
    *,
    out: OutOption = None,
    zipped: Annotated[bool, typer.Option("--zip", help="Also as FOLDER.zip.")] = False,
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
    folder = out or settings.home / "bundles" / name
    with reported():
        bundles.write(settings, name, folder)
    typer.echo(f"{folder} holds {name}'s password: hand it over on a private way. See README.md.")
    if zipped:
        typer.echo(f"{pack(folder)} holds the same.")


@app.command()
def rotate(
    name: NameArgument, *, out: OutOption = None, config: ConfigOption = DEFAULT_PATH
) -> None:
    """Give the tenant a new password and write a new bundle; the old password is refused at once.

    Example: northbound tenants rotate acme
    """
    from app import audit, bundles
    from app.broker import tenants

    settings = configured(config)
    _known(settings, name)
    folder = out or settings.home / "bundles" / name
    with reported():
        client = connected(settings)
        tenants.rotate(client, settings.names, name, settings.credentials)
        audit.record(settings.client(), settings.names, "tenant.rotate", name)
        bundles.write(settings, name, folder)
    typer.echo(
        f"{name} has a new password; connections with the old one end within an hour. "
        f"The new bundle is {folder}."
    )


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
    topics keep records; `resume` lets its consumers go on where they stopped.

    Meanwhile clients are told that they are not authorized: those on librdkafka wait, others may
    have to be started again.

    Example: northbound tenants pause acme --feed events
    """
    from app import audit
    from app.broker import rights, tenants

    settings = configured(config)
    _known(settings, name)
    feeds = feed or list(rights.FEEDS)
    if unknown := [each for each in feeds if each not in rights.FEEDS]:
        fail(f"--feed: saw {unknown[0]!r}, expected {' or '.join(rights.FEEDS)}", WRONG_USAGE)
    confirm(f"Stop {name} from reading {' and '.join(feeds)}?", yes=yes)
    with reported():
        tenants.pause(connected(settings), settings.names, name, feeds)
        details = {"feeds": ", ".join(feeds)}
        audit.record(settings.client(), settings.names, "tenant.pause", name, details)
    typer.echo(f"{name} reads no {' and no '.join(feeds)} until: northbound tenants resume {name}")


@app.command()
def resume(name: NameArgument, *, config: ConfigOption = DEFAULT_PATH) -> None:
    """Let a paused tenant read on: what was written meanwhile comes first.

    Example: northbound tenants resume acme
    """
    from app import audit
    from app.broker import tenants

    settings = configured(config)
    _known(settings, name)
    with reported():
        feeds = tenants.resume(connected(settings), settings.names, name)
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
    from app import audit
    from app.broker import admin, quotas, tenants

    settings = configured(config)
    file = _file(settings, name)
    if name in settings.tenants and not file.is_file():
        fail(f"Tenant {name} stands in {config}: remove it there, then run this again.")
    also = f", and delete the topics {settings.names.tenant_prefix(name)}*" if topics else ""
    confirm(f"Take all rights of tenant {name} away{also}?", yes=yes)
    with reported():
        client = connected(settings)
        try:
            tenants.remove(client, settings.names, name, settings.credentials)
            quotas.remove(settings.client(), settings.names, name)
        except ValueError as error:
            fail(error, WRONG_USAGE)
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


def _configure(config: Path, settings: Config, name: str, content: Mapping[str, object]) -> Config:
    """Write tenants.d/NAME.yaml; the configuration with it. A bad one is taken back."""
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
        declaration(changed)
    except ConfigError:
        file.unlink()
        raise
    return changed


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


def _known(settings: Config, name: str) -> None:
    if name not in settings.tenants:
        known = ", ".join(settings.tenants) or "none"
        fail(f"No tenant {name}; configured: {known}. `northbound tenants add {name}` makes it.")


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
