"""Options that several commands share, and how they turn a bad configuration into an exit."""

from pathlib import Path
from typing import Annotated

import typer

from app.config import DEFAULT_PATH, Config, ConfigError, load
from app.output import fail

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="northbound.yaml", envvar="NORTHBOUND_CONFIG")
]
FromStartOption = Annotated[bool, typer.Option(help="All that is kept, not only new.")]
FollowOption = Annotated[bool, typer.Option(help="Go on with what comes.")]
CountOption = Annotated[int, typer.Option("--count", "-n", help="Stop after so many; 0: never.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines also on a terminal.")]


def configured(path: Path = DEFAULT_PATH) -> Config:
    """The configuration; ends with status 1 and every mistake on standard error."""
    try:
        return load(path)
    except ConfigError as error:
        fail(error)
