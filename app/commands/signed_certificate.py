"""Certificates that others sign for tenants: the option, and what is told while one is awaited."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from app.commands.left_to_others import left_to_others
from app.commands.topics import reported
from app.config import Config

SignedOption = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="FILE", help="The certificate that others have signed."),
]


def say_what_waits(settings: Config, name: str) -> None:
    """End as where others have to do something, if they have to sign a certificate."""
    from app import logins
    from app.broker import client_certificates

    if client_certificates.waiting(settings.credentials, name) is not None:
        with reported():
            said = list(logins.told(settings, name, dt.datetime.now(dt.UTC)))
        left_to_others("\n".join(said), [])
