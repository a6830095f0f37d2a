"""Options that several commands share, and how they turn a bad configuration into an exit."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.config import DEFAULT_PATH, Config, ConfigError, in_file_order, load
from app.output import WRONG_USAGE, errors, fail

if TYPE_CHECKING:
    from topology.match.ruleset import RuleSet

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="northbound.yaml", envvar="NORTHBOUND_CONFIG")
]
FromStartOption = Annotated[bool, typer.Option(help="All that is kept, not only new.")]
FollowOption = Annotated[bool, typer.Option(help="Go on with what comes.")]
CountOption = Annotated[int, typer.Option("--count", "-n", help="Stop after so many; 0: never.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines also on a terminal.")]


def configured(
    path: Path = DEFAULT_PATH, *, ingest: bool = False, deliveries: bool = False
) -> Config:
    """The configuration; ends with status 1 and every mistake on standard error, those in what it
    names too. `ingest`, `deliveries`: as app.checking.complete has them."""
    try:
        return load(path)
    except ConfigError as error:
        fail(completed(path, error, ingest=ingest, deliveries=deliveries))


def completed(
    path: Path, error: ConfigError, *, ingest: bool = False, deliveries: bool = False
) -> ConfigError:
    """As app.checking.complete."""
    from app.checking import complete

    return complete(path, error, ingest=ingest, deliveries=deliveries)


def compiled(
    paths: Sequence[Path],
    cache: Path | None = None,
    *,
    maps: Sequence[Path] | None = None,
    config: Config | None = None,
    also: Sequence[str] = (),
) -> "RuleSet":
    """Sigma rules of files and folders; ends with every mistake on standard error. `cache`: that of
    the user, unless given. `config`: whose lists and whose rules, as bases of correlations, there
    are; None: those of a northbound.yaml that is here, and whatever lists rules name. `also`:
    mistakes found elsewhere."""
    from app.deployed_rules import deployed
    from app.rules import load_rules, user_cache
    from topology.match.documents import RuleErrors

    there(paths)
    problems = list(also)
    found = None
    known = config_here() if config is None else config
    try:
        found = load_rules(
            paths,
            cache or user_cache(),
            maps=maps,
            lists=known.active_lists if known else {},
            more_lists=config is None,
            elsewhere=partial(deployed, known, paths, maps=maps is None) if known else None,
        )
    except RuleErrors as error:
        problems += error.problems
    if problems or found is None:
        fail("\n".join(in_file_order(problems)))
    return found


def there(paths: Sequence[Path]) -> None:
    """End with wrong usage if one of some files and folders is not there."""
    for path in paths:
        if not path.exists():
            fail(f"{path}: no such file or folder", WRONG_USAGE)


def config_here() -> Config | None:
    """The northbound.yaml in the working folder; None without one, or where it cannot be read,
    which is told."""
    path = Path(os.environ.get("NORTHBOUND_CONFIG", DEFAULT_PATH))
    if not path.exists():
        return None
    try:
        return load(path)
    except ConfigError:
        text = "has mistakes, which `northbound check` tells; its lists and rules are not looked at"
        errors.print(f"warning: {path} {text}", markup=False)
        return None


def warn(rules: "RuleSet") -> None:
    """Say which rules load but never match, on standard error."""
    for warning in rules.warnings:
        errors.print(f"warning: {warning}", markup=False)
