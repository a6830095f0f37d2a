"""`northbound lists show|add|remove|import`: active lists of a cluster that runs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.commands.topics import connected, reported
from app.config import DEFAULT_PATH, Config
from app.output import WRONG_USAGE, fail, rows

if TYPE_CHECKING:
    from app.list_edits import Edit, Listed
    from topology.lists import ActiveList

app = typer.Typer(help="Active lists: see and change what they hold.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Of the list, as in northbound.yaml.")]
KeyArgument = Annotated[list[str], typer.Argument(help="The parts of the key, in order.")]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Whose list; needed where there are several.")
]
TtlOption = Annotated[
    str | None, typer.Option("--ttl", help="How long, such as 30d; else as the list says.")
]


@app.command()
def show(
    name: NameArgument,
    *,
    tenant: TenantOption = None,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show what a list has now, by key; of all tenants unless --tenant is given.

    Example: northbound lists show watched_users
    """
    settings = configured(config)
    listed = known_list(settings, name)
    scopes = _scopes(settings, listed, tenant)
    found = _present(settings, listed, scopes)
    table = [
        {
            "tenant": "" if listed.shared else each.scope,
            **dict(zip(listed.key, each.key, strict=True)),
            "since": _moment(each.entry.since),
            "until": "" if each.entry.until is None else _moment(each.entry.until),
            "by": each.entry.by,
            "values": dict(each.entry.values)
            if json
            else " ".join(f"{key}={text}" for key, text in each.entry.values.items()),
        }
        for each in found
    ]
    columns = ["tenant", *listed.key, "since", "until", "by", "values"]
    rows(table, columns, json=json, title=name)


@app.command()
def add(
    name: NameArgument,
    key: KeyArgument,
    *,
    ttl: TtlOption = None,
    value: Annotated[
        list[str] | None, typer.Option("--value", help="name=text that the entry keeps.")
    ] = None,
    tenant: TenantOption = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Add an entry, or let one stay longer.

    Example: northbound lists add watched_users eve --ttl 30d --value reason=INC-17
    """
    from app.list_edits import Edit

    settings = configured(config)
    listed = known_list(settings, name)
    kept: dict[str, str] = {}
    for each in value or ():
        label, equals, text = each.partition("=")
        if not label or not equals:
            fail(f"--value: saw {each!r}, expected name=text", WRONG_USAGE)
        kept[label] = text
    edit = Edit(_key(listed, key), kept, _ttl(ttl, listed))
    _edit(settings, listed, tenant, [edit], "lists.add", {"key": "\t".join(key), **kept})


@app.command()
def remove(
    name: NameArgument,
    key: KeyArgument,
    *,
    tenant: TenantOption = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Remove an entry.

    Example: northbound lists remove watched_users eve
    """
    from app.list_edits import Edit

    settings = configured(config)
    listed = known_list(settings, name)
    edit = Edit(_key(listed, key), None)
    _edit(settings, listed, tenant, [edit], "lists.remove", {"key": "\t".join(key)})


@app.command(name="import")
def import_(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="CSV with a header that names the key's parts.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the entries that FILE has not.")
    ] = False,
    ttl: TtlOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Add the rows of a file, all at once; columns beside the key are values.

    Example: northbound lists import watched_users leavers.csv --ttl 30d
    """
    from app.list_edits import Edit

    settings = configured(config)
    listed = known_list(settings, name)
    (scope,) = _scopes(settings, listed, tenant, one=True)
    until = _ttl(ttl, listed)
    edits = [Edit(key, kept, until) for key, kept in read_rows(file, listed)]
    removed = 0
    if replace:
        stays = {edit.key for edit in edits}
        gone = [each for each in _present(settings, listed, [scope]) if each.key not in stays]
        edits += [Edit(each.key, None) for each in gone]
        removed = len(gone)
    details = {"file": file.name, "added": str(len(edits) - removed), "removed": str(removed)}
    _edit(settings, listed, tenant, edits, "lists.import", details)


def read_rows(file: Path, listed: "ActiveList") -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """Keys and values of a CSV file; ends the command with every mistake."""
    import csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            lacking = [part for part in listed.key if part not in (reader.fieldnames or ())]
            if lacking:
                fail(f"{file}:1: no column {', '.join(lacking)}; the key is {_parts(listed)}")
            found, problems = [], []
            for row in reader:
                key = tuple(row.pop(part) or "" for part in listed.key)
                if None in row or "" in key:
                    wrong = "more cells than the header" if None in row else "an empty key"
                    problems.append(f"{file}:{reader.line_num}: {wrong}")
                found.append((key, {label: text for label, text in row.items() if text}))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fail(f"{file}: cannot be read as CSV: {error}")
    if problems:
        fail("\n".join(problems))
    if not found:
        fail(f"{file}:1: no rows; expected at least one with {_parts(listed)}")
    return found


def _edit(
    settings: Config,
    listed: "ActiveList",
    tenant: str | None,
    edits: "Sequence[Edit]",
    action: str,
    details: dict[str, str],
) -> None:
    """Write edits and who made them."""
    from app import audit
    from app.list_edits import write

    _in_use(settings, listed)
    (scope,) = _scopes(settings, listed, tenant, one=True)
    whose = {} if listed.shared else {"tenant": scope}
    with reported():
        connected(settings)
        try:
            written = write(
                settings.client(),
                settings.names,
                listed,
                scope,
                edits,
                by=audit.actor(),
                now_ms=_now(),
                matches_partitions=settings.kafka.matches_partitions,
            )
        except ValueError as error:
            fail(str(error), WRONG_USAGE)
        audit.record(settings.client(), settings.names, action, listed.name, {**whose, **details})
    typer.echo(f"{listed.name}: {written} changed.")


def _in_use(settings: Config, listed: "ActiveList") -> None:
    """End the command where workers of this host do not know the list: they would drop the edit."""
    from app.status import WORKER_FILE, read_status

    for name, worker in read_status(settings.state).items():
        if name.startswith(WORKER_FILE) and listed.name not in worker.get("lists", [listed.name]):
            fail(
                f"{name} does not use the list {listed.name} yet, and would drop the edit; "
                "`northbound status` says what it waits for"
            )


def _present(settings: Config, listed: "ActiveList", scopes: Sequence[str]) -> "Sequence[Listed]":
    from app.list_edits import entries
    from app.reading import ReadingError

    with reported():
        connected(settings)
        try:
            return list(entries(settings.client(), settings.names, listed, scopes, _now()))
        except ReadingError as error:
            fail(f"{error}. `northbound topics create` makes it.")


def known_list(settings: Config, name: str) -> "ActiveList":
    """A list of northbound.yaml; ends the command where there is none of that name."""
    found = settings.active_lists.get(name)
    if found is None:
        known = ", ".join(settings.lists) or "none"
        fail(f"saw {name!r}, expected a list of northbound.yaml: {known}", WRONG_USAGE)
    return found


def _scopes(
    settings: Config, listed: "ActiveList", tenant: str | None, *, one: bool = False
) -> list[str]:
    """Whose entries are meant; ends the command where `one` is needed and that is not said."""
    from topology.lists import SHARED

    known = ", ".join(settings.tenants) or "none"
    if listed.shared:
        if tenant is not None:
            fail(f"--tenant: {listed.name} is shared by all tenants; leave it out", WRONG_USAGE)
        return [SHARED]
    if tenant is not None:
        if tenant not in settings.tenants:
            fail(f"--tenant: saw {tenant!r}, expected one of {known}", WRONG_USAGE)
        return [tenant]
    if one and len(settings.tenants) != 1:
        fail(f"--tenant: missing; expected one of {known}", WRONG_USAGE)
    return list(settings.tenants)


def _key(listed: "ActiveList", key: Sequence[str]) -> tuple[str, ...]:
    if len(key) != len(listed.key) or "" in key:
        fail(f"saw {' '.join(key)!r}, expected {_parts(listed)}", WRONG_USAGE)
    return tuple(key)


def _parts(listed: "ActiveList") -> str:
    return " and ".join(listed.key)


def _ttl(given: str | None, listed: "ActiveList") -> int | None:
    from app.config.fields import duration

    if given is None:
        return listed.ttl_ms
    try:
        return duration(given)
    except (ValueError, TypeError):
        fail(f"--ttl: saw {given!r}, expected a time such as 1h or 30d", WRONG_USAGE)


def _moment(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
