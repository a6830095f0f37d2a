"""tenants.d beside northbound.yaml: a file for each tenant that `northbound tenants add` made."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from app.config import Config, ConfigError, load

T = TypeVar("T")


def file_of(settings: Config, tenant: str) -> Path:
    """Where the tenant's file is, if it has one."""
    return settings.home / "tenants.d" / f"{tenant}.yaml"


def written_in(settings: Config, path: Path, tenant: str) -> Path:
    """The file that says what the tenant receives: its own, or northbound.yaml at `path`."""
    own = file_of(settings, tenant)
    return own if own.is_file() else path


def add(
    path: Path,
    settings: Config,
    tenant: str,
    content: Mapping[str, object],
    declared: Callable[[Config], T],
) -> tuple[Config, T]:
    """Write the tenant's file; the configuration with it, and what `declared` makes of that.

    The file is there with all its content or not at all: one that ends early could be good and
    leave out what the tenant may not read. One that the rest does not go with is taken back. Raises
    ConfigError.
    """
    file = file_of(settings, tenant)
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(exist_ok=True)
        part.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError([f"{file}: {error.strerror}"]) from error
    try:
        changed = load(path)
        return changed, declared(changed)
    except BaseException:
        file.unlink()
        raise


def choices(
    mask: Sequence[str], keep: Sequence[str], leave_out: Sequence[str]
) -> dict[str, object]:
    """What of its feeds a tenant has chosen, as its file has it. `mask`: each as ATTRIBUTE=ACTION.

    Raises ConfigError.
    """
    if wrong := [each for each in mask if "=" not in each]:
        raise ConfigError(
            [f"--mask: saw {each!r}, expected {each}=hash or {each}=drop" for each in wrong]
        )
    pairs = [each.rpartition("=") for each in mask]
    fields = {"keep": list(keep), "leave_out": list(leave_out)}
    found: dict[str, dict[str, object]] = {
        "mask": {name: action for name, _, action in pairs},
        "fields": {key: names for key, names in fields.items() if names},
    }
    return {key: choice for key, choice in found.items() if choice}
