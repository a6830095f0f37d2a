"""`northbound test`: lines through the topology of northbound.yaml, without a broker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.options import ConfigOption, completed
from app.config import DEFAULT_PATH
from app.output import FAILED, fail, verdict

if TYPE_CHECKING:
    from topology.plan import Plan


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
    from app.config import ConfigError, in_file_order, load
    from app.pipeline_files import read_tests
    from app.pipeline_tests import differences, plan_of, run, unknown

    problems: list[str] = []
    plan: Plan | None = None
    try:
        plan = plan_of(load(config))
    except ConfigError as error:
        problems += completed(config, error).problems
    read = [(file, read_tests(file)) for file in files]
    for _, each in read:
        problems += each.problems
        problems += unknown(plan, each) if plan is not None else []
    if problems or plan is None:
        fail("\n".join(in_file_order(problems)))
    failed = 0
    for file, each in read:
        for entry in each.tests:
            failed += verdict(f"{file.stem}: {entry.name}", differences(entry, run(plan, entry)))
    if failed:
        raise typer.Exit(FAILED)
