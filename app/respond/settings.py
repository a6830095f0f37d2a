"""What all kinds of responses are told of northbound.yaml. All raise ConfigError."""

from pathlib import Path
from typing import TYPE_CHECKING

from app.config.connection import ConfigError
from app.deliver.secret import Secret
from app.deliver.settings import Place, secret

if TYPE_CHECKING:
    from app.config import Config


def private_secret(
    config: "Config", at: Place, key: str, variable: str | None, file: Path | None
) -> Secret | None:
    """Of `<key>_env` or `<key>_file`; that file is nobody else's to read."""
    if variable is None and file is not None:
        private(config, (*at, f"{key}_file"), file)
    return secret(config, at, key, variable, file)


def private(config: "Config", at: Place, file: Path) -> Path:
    """The file of a secret as an absolute path."""
    found = config.path(file)
    try:
        mode = found.stat().st_mode & 0o777
    except OSError as error:
        raise ConfigError([config.problem(at, f"{found}: {error.strerror}")]) from None
    if mode & 0o007:
        text = f"{found}: has the mode {mode:04o}, and others may read it; expected 0600"
        raise ConfigError([config.problem(at, text)])
    return found
