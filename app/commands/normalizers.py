"""`northbound normalizers`: check and test normalizers of one's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from app.output import FAILED, WRONG_USAGE, fail, verdict

app = typer.Typer(help="Check and test normalizers written in YAML.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(help="Files of normalizers, or folders of them.")]


def files_of(paths: list[Path]) -> Iterator[Path]:
    """Those named, and those of folders; ends the command where there is none."""
    for path in paths:
        if not path.exists():
            fail(f"{path}: no such file or folder", WRONG_USAGE)
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not found:
            fail(f"{path}: no normalizers in it; expected files named *.yaml", WRONG_USAGE)
        yield from found


@app.command()
def check(paths: Paths) -> None:
    """Say everything that is wrong with normalizers, with file and line; 0 if nothing is.

    Example: northbound normalizers check normalizers
    """
    from app.config import ConfigError
    from app.normalizer_files import load_normalizer

    problems: list[str] = []
    count = 0
    for file in files_of(paths):
        count += 1
        try:
            load_normalizer(file, "UTC")
        except ConfigError as error:
            problems += error.problems
    if problems:
        fail("\n".join(problems))
    print(f"{count} {'normalizer loads' if count == 1 else 'normalizers load'}")


@app.command(name="test")
def run_tests(
    paths: Paths,
    *,
    update: Annotated[bool, typer.Option(help="Write what comes as what is expected.")] = False,
) -> None:
    """Compare the events of `tests/NAME/case.log` with `case.expected.json`, byte for byte.

    Example: northbound normalizers test normalizers
    """
    from app.config import ConfigError
    from app.normalizer_files import load_normalizer
    from app.normalizer_tests import cases, differences, events, expectation

    failed = 0
    for file in files_of(paths):
        try:
            loaded = load_normalizer(file, "UTC")
            found = cases(file)
            if not found:
                fail(f"{file}: no tests; expected {file.parent / 'tests' / file.stem}/*.log")
            for case in found:
                name = f"{file.stem}: {case.stem}"
                try:
                    seen = events(loaded, case)
                except ConfigError as error:
                    failed += verdict(name, error.problems)
                    continue
                if update:
                    expectation(case).write_bytes(seen)
                failed += verdict(name, list(differences(case, seen)))
        except ConfigError as error:
            fail(error)
    if failed:
        raise typer.Exit(FAILED)
