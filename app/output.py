"""What commands print: tables for people on a terminal, JSON lines with --json or when piped."""

import os
import select
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

FAILED = 1
WRONG_USAGE = 2

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def as_json(flag: bool) -> bool:
    """Whether to print JSON lines: asked for, or standard output is no terminal."""
    return flag or not sys.stdout.isatty()


def fail(problem: object, status: int = FAILED) -> NoReturn:
    """Print what is wrong, one problem a line, and end with the exit status."""
    errors.print(str(problem), markup=False)
    raise typer.Exit(status)


def rows(
    found: Iterable[Mapping[str, Any]], columns: Sequence[str], *, json: bool, title: str = ""
) -> None:
    """Print mappings as a table of these columns, or each as one JSON object with all its keys."""
    if as_json(json):
        for row in found:
            sys.stdout.buffer.write(orjson.dumps(row, default=str) + b"\n")
        sys.stdout.flush()
        return
    body = [[_cell(row.get(column)) for column in columns] for row in found]
    if not body:
        Console().print(f"{title or 'Rows'}: none", highlight=False)
        return
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for cells in body:
        table.add_row(*cells)
    Console().print(table)


def verdict(name: str, problems: Sequence[str]) -> bool:
    """Print whether a test passed, and below it why not; whether it failed."""
    typer.echo(f"{'FAIL' if problems else 'ok  '} {name}")
    for problem in problems:
        typer.echo(f"       {problem}")
    return bool(problems)


def end_without_reader() -> None:
    """End as other programs do when nobody reads standard output any more: by SIGPIPE, silently.

    Returns when it is not standard output whose reader is gone.
    """
    poll = select.poll()
    poll.register(1, 0)
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)


def _cell(value: Any) -> Text:
    """A value as people write it."""
    if value is None:
        return Text("")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple | set | frozenset):
        return Text(", ".join(map(str, value)))
    return Text(str(value))
