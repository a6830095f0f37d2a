"""The `northbound` command: one sub-command a file, registered here.

A command's module is imported when it is called, or when help names all: what one command needs
costs the others nothing at their start.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from app import output

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "demo.demo",
    "up": "up.up",
    "down": "up.down",
    "check": "check.check",
    "status": "status.status",
    "tail": "tail.tail",
    "tap": "tap.tap",
    "doctor": "doctor.doctor",
    "explain": "explain.explain",
    "backtest": "backtest.backtest",
    "ingest": "ingest.ingest",
    "worker": "worker.worker",
    "deliver": "deliver.deliver",
    "replay": "replay.replay",
    "setup": "setup.setup",
    "broker-files": "broker_files.broker_files",
    "parse": "parse.parse",
    "try": "try_log.try_log",
    "match": "match.match",
    "test": "test.run_tests",
    "topics": "topics_plan.app",
    "rules": "rules.app",
    "lists": "lists.app",
    "normalizers": "normalizers.app",
    "tenants": "tenants.app",
    "enrichment": "enrichment.app",
    "dead-letters": "dead_letters.app",
}
"""By name, in the order of --help: the module below app.commands, and what in it."""


UID: Final = re.compile(
    r"-(?:[\w-]{21}(?:-(?:provisional|final|superseded))?"
    r"|[\w-]{10}-\d+-\d+(?:-\d+)?(?:-aggregated)?)"
)
"""An alert's or an event's uid (topology/findings.py, topology/uid.py) that begins with a dash."""


class Command(TyperCommand):
    """One that takes a uid as an argument also where an option could begin so."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does, with such arguments behind all options."""
        if "--" not in args and (uids := [each for each in args if UID.fullmatch(each)]):
            args = [*(each for each in args if each not in uids), "--", *uids]
        return super().parse_args(ctx, args)


class Registered(TyperGroup):
    """Commands of COMMANDS, each made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # Typer's
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command; for a name that there is not all are made, and Typer tells which is near."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.commands[name] = _made(name)
        return super().get_command(ctx, cmd_name)


def _made(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(".")
    found = getattr(import_module(f"app.commands.{module}"), attribute)
    one = typer.Typer()
    if isinstance(found, typer.Typer):
        one.add_typer(found, name=name)
    else:
        one.command(name=name, cls=Command)(found)
    return typer.main.get_group(one).commands[name]


app = typer.Typer(
    name="northbound",
    cls=Registered,
    help="Raw audit lines in, enriched events and alerts out, on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _northbound() -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except SystemExit as ending:
        # Typer ends with 1 when it meets EPIPE, whatever raised it.
        if isinstance(ending.__context__, BrokenPipeError):
            output.end_without_reader()
        raise
