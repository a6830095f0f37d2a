"""The `northbound` command: one sub-command a file, registered here."""

import typer

from app.commands import dead_letters, tail

app = typer.Typer(
    name="northbound",
    help="Raw audit lines in, enriched events and alerts out, on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command()(tail.tail)
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Entry point of the console script."""
    app()
