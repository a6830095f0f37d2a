"""The `northbound` command: one sub-command a file, registered here."""

import typer

from app import output
from app.commands import (
    backtest,
    broker_files,
    dead_letters,
    deliver,
    demo,
    doctor,
    enrichment,
    explain,
    ingest,
    lists,
    match,
    normalizers,
    parse,
    replay,
    rules,
    setup,
    status,
    tail,
    tap,
    tenants,
    test,
    topics,
    topics_plan,
    try_log,
    up,
    worker,
)

app = typer.Typer(
    name="northbound",
    help="Raw audit lines in, enriched events and alerts out, on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command()(demo.demo)
app.command()(up.up)
app.command()(up.down)
app.command()(status.status)
app.command()(tail.tail)
app.command()(tap.tap)
app.command()(doctor.doctor)
app.command()(explain.explain)
app.command()(backtest.backtest)
app.command()(ingest.ingest)
app.command()(worker.worker)
app.command()(deliver.deliver)
app.command()(replay.replay)
app.command()(setup.setup)
app.command()(broker_files.broker_files)
app.command()(parse.parse)
app.command(name="try")(try_log.try_log)
app.command()(match.match)
app.command(name="test")(test.run_tests)
topics.app.command()(topics_plan.plan)
topics.app.command()(topics_plan.apply)
app.add_typer(topics.app, name="topics")
app.add_typer(rules.app, name="rules")
app.add_typer(lists.app, name="lists")
app.add_typer(normalizers.app, name="normalizers")
app.add_typer(tenants.app, name="tenants")
app.add_typer(enrichment.app, name="enrichment")
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except SystemExit as ending:
        # Typer ends with 1 when it meets EPIPE, whatever raised it.
        if isinstance(ending.__context__, BrokenPipeError):
            output.end_without_reader()
        raise
