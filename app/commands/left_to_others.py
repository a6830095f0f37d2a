"""Commands that leave a cluster to those who manage it, and print what these have to run."""

from collections.abc import Sequence
from typing import NoReturn

import typer

LEFT_TO_OTHERS = 2
"""Exit status where whoever manages the cluster has to do it, as of `topics apply`."""


def left_to_others(text: str, commands: Sequence[str]) -> NoReturn:
    """Print what is to be done by whoever manages the cluster, and end as `topics apply` does."""
    typer.echo(text)
    for each in commands:
        typer.echo(each)
    raise typer.Exit(LEFT_TO_OTHERS)
