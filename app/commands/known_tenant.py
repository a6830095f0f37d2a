"""The tenant that a command is for."""

from typing import Annotated

import typer

from app.config import Config
from app.output import fail

NameArgument = Annotated[str, typer.Argument(help="Lower-case letters, digits and -.")]


def check_known(settings: Config, name: str) -> None:
    """End the command where no tenant of this name is configured."""
    if name not in settings.tenants:
        known = ", ".join(settings.tenants) or "none"
        fail(f"No tenant {name}; configured: {known}. `northbound tenants add {name}` makes it.")
