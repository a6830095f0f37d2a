"""The `northbound` command: one sub-command a file, registered here."""

import typer

app = typer.Typer(
    name="northbound",
    help="Raw audit lines in, enriched events and alerts out, on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the console script."""
    app()
