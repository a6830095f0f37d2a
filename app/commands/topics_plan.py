"""`northbound topics plan|apply`: what the cluster lacks of what is declared, and making it so."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.commands.topics import YesOption, app, confirm, connected, declaration, reported
from app.config import DEFAULT_PATH, Config
from app.output import as_json, errors, fail

if TYPE_CHECKING:
    from app.broker.difference import Difference
    from app.broker.difference_lines import Item

DIFFERS: Final = 2
"""Exit status: there are changes to make."""

DeleteOption = Annotated[
    list[str] | None,
    typer.Option("--delete", metavar="TOPIC", help="Delete this topic, not declared; repeat."),
]
RevokeOption = Annotated[
    bool, typer.Option("--revoke", help="Take away rights of tenants that are not declared.")
]


@app.command()
def plan(
    *,
    delete: DeleteOption = None,
    revoke: RevokeOption = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Print the commands of Kafka's own tools.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show what would change in topics, users, rights and quotas; change nothing.

    Ends with 0 if there is nothing to do, 2 if there are changes, 1 if that cannot be told. What
    Northbound's user may not see is planned as if nothing of it were there.

    Example: northbound topics plan --commands > for-the-owner.sh
    """
    settings = configured(config)
    with reported():
        found = _compared(settings, delete or [], revoke=revoke)
    lines = _items(settings, found)
    if commands:
        _print_commands(settings, found, lines)
    else:
        _print(found, lines, json=json)
    if found.problems:
        fail("\n".join(found.problems))
    if any(line.sign != " " for line in lines):
        raise typer.Exit(DIFFERS)


@app.command()
def apply(
    *,
    delete: DeleteOption = None,
    revoke: RevokeOption = False,
    yes: YesOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show the plan, ask, and make its changes; nothing is deleted without --delete or --revoke.

    Ends with 2 if something is left to do by whoever manages the cluster.

    Example: northbound topics apply --yes
    """
    from app import logins
    from app.broker import difference

    settings = configured(config)
    if settings.unmanaged:
        fail(
            "kafka.external.manage is false: whoever manages the cluster makes the changes. "
            "`northbound topics plan --commands` prints them."
        )
    with reported():
        found = _compared(settings, delete or [], revoke=revoke)
        lines = _items(settings, found)
        _print(found, lines, json=False, text=True)
        if found.problems:
            fail("\n".join(found.problems))
        changes = [line for line in lines if line.sign != " " and not line.unseen]
        left = [line for line in lines if line.unseen]
        if changes:
            confirm("Make these changes?", yes=yes)
            made: list[tuple[str, str, dict[str, str]]] = []
            connection = connected(settings)
            try:
                difference.apply(
                    settings.client(),
                    connection,
                    found,
                    replication=settings.replication,
                    add=lambda tenant: logins.ensure(settings, connection, tenant),
                    done=lambda *change: made.append(change),
                )
            finally:
                _write_down(settings, made)
            typer.echo(f"Done: {len(changes)} change{'s' if len(changes) > 1 else ''}.")
    if left:
        typer.echo("To do by whoever manages the cluster:")
        for line in left:
            typer.echo("\n".join(line.commands))
        raise typer.Exit(DIFFERS)


def _write_down(settings: Config, made: Sequence[tuple[str, str, dict[str, str]]]) -> None:
    """On the audit topic, also when a later change was refused."""
    from app import audit

    audited = audit.Writer(settings.client(), settings.names)
    for action, target, details in made:
        if (action, target) != ("topic.delete", settings.names.audit):
            audited.record(action, target, details)


def _compared(settings: Config, delete: Sequence[str], *, revoke: bool) -> "Difference":
    from app.broker import difference

    topics = declaration(settings)
    return difference.compare(settings, connected(settings), topics, delete=delete, revoke=revoke)


def _items(settings: Config, found: "Difference") -> "list[Item]":
    from app.broker import difference_lines

    return difference_lines.items(
        found, difference_lines.commands_for(settings), settings.credentials
    )


def _print(found: "Difference", lines: "Sequence[Item]", *, json: bool, text: bool = False) -> None:
    for kind, reason in found.hidden.items():
        errors.print(
            f"Planned as if no {_KINDS[kind]} were there, as they may not be seen: {reason}",
            markup=False,
        )
    if as_json(json) and not text:
        for line in lines:
            row = {
                "action": _ACTIONS[line.sign],
                "kind": line.kind,
                "name": line.name,
                "change": line.what,
                "commands": line.commands,
            }
            sys.stdout.buffer.write(orjson.dumps(row) + b"\n")
        sys.stdout.flush()
        return
    kinds = max((len(line.kind) for line in lines), default=0)
    names = max((len(line.name) for line in lines), default=0)
    for line in lines:
        typer.echo(f"{line.sign} {line.kind:<{kinds}}  {line.name:<{names}}  {line.what}")
    signs = [line.sign for line in lines if line.sign != " "]
    if not signs:
        if not found.problems:
            typer.echo("Nothing to do: topics, users, rights and quotas are as declared.")
        return
    typer.echo(
        f"Plan: {signs.count('+')} to create, {signs.count('~')} to change, "
        f"{signs.count('-')} to delete."
    )


def _print_commands(settings: Config, found: "Difference", lines: "Sequence[Item]") -> None:
    """A shell script; what is to be known beforehand stands in it as comments."""
    from app.broker.kafka_commands import ADMIN

    servers = settings.client()["bootstrap.servers"]
    if any(line.commands for line in lines):
        typer.echo(f"# For whoever manages the cluster at {servers}.")
        typer.echo(f"# {ADMIN}: how an administrator connects.")
    if any(line.kind == "user" and line.commands for line in lines):
        typer.echo(f"# *.password: a tenant's password, in one line, as in {settings.credentials}.")
    for kind, reason in found.hidden.items():
        typer.echo(f"# Everything, as {_KINDS[kind]} may not be seen: {' '.join(reason.split())}")
    for line in lines:
        if line.sign == " ":
            typer.echo(f"# {line.kind} {line.name}: {line.what}")
        for command in line.commands:
            typer.echo(command)


_KINDS: Final = {"topic": "topics", "user": "users", "acl": "rights", "quota": "quotas"}
_ACTIONS: Final = {"+": "create", "~": "change", "-": "delete", " ": "none"}
