"""`northbound test`: lines through the topology of northbound.yaml, without a broker."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import ConfigOption, configured
from app.config import DEFAULT_PATH
from app.output import FAILED, fail, verdict


def run_tests(
    files: Annotated[list[Path], typer.Argument(help="Files of tests (docs/testing.md).")],
    *,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run lines through the whole topology and compare what comes out; 0 if all is as expected.

    Parsing, mutations, filters, dictionaries, rules and windows are those of northbound.yaml. No
    broker is needed.

    Example: northbound test tests/pipeline.yaml
    """
    from app.config import ConfigError
    from app.pipeline_files import read_tests
    from app.pipeline_tests import differences, plan_of, run

    settings = configured(config)
    failed = 0
    try:
        plan = plan_of(settings)
        for file, tests in [(file, read_tests(file)) for file in files]:
            for entry in tests:
                try:
                    found = differences(entry, run(plan, entry))
                except ConfigError as error:
                    fail("\n".join(f"{file}: {problem}" for problem in error.problems))
                failed += verdict(f"{file.stem}: {entry.name}", found)
    except ConfigError as error:
        fail(error)
    if failed:
        raise typer.Exit(FAILED)
