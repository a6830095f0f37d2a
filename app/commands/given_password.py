"""A tenant's password that a person gives: typed twice, or in a file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.output import WRONG_USAGE, fail

AskOption = Annotated[
    bool, typer.Option("--ask-password", help="Ask for the password instead of making one.")
]
FileOption = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Take the password from here: one line."),
]


def given_password(ask: bool, file: Path | None, names: Sequence[str]) -> str | None:
    """The password that a person gives; None if one is to be made. It is in no message."""
    from app.broker import passwords

    if ask and file is not None:
        fail("--ask-password and --password-file exclude each other.", WRONG_USAGE)
    if ask:
        if not sys.stdin.isatty():
            fail("Nobody to ask for a password; give --password-file.", WRONG_USAGE)
        typer.echo(f"A password has {passwords.CONDITIONS}.")
        given = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    elif file is not None:
        try:
            given = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            fail(f"{file}: {reason}; expected a file with the password in one line")
    else:
        return None
    try:
        return passwords.check(given, names)
    except passwords.PasswordError as error:
        fail(error)
