"""`northbound demo`: raw lines in, events and alerts out, and a table that has to balance."""

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.output import fail

FOLDER = Path("build/demo")


def demo(
    *,
    seed: Annotated[int, typer.Option(help="Another seed, another stream.")] = 1,
    lines: Annotated[int, typer.Option(min=10_000, help="How many lines to send.")] = 300_000,
    rate: Annotated[int, typer.Option(min=100, help="Lines a second at most.")] = 20_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running until Ctrl-C.")] = False,
    folder: Annotated[Path, typer.Option(help="Everything goes here; emptied first.")] = FOLDER,
) -> None:
    """Run the whole path on real parts and check that nothing is lost, invented or doubled.

    Example: northbound demo --seed 7 --keep
    """
    from app.broker.errors import BrokerError
    from app.config import ConfigError
    from app.demo.tour import DemoError, Tour
    from app.demo.view import View
    from app.deployment import ClusterError, DeploymentError
    from app.ingest.topics import IngestError

    console = Console(highlight=False)
    console.print(f"Northbound demo, SEED={seed}, {lines:,} lines; files in {folder}")
    tour = Tour(
        folder.absolute(), seed, lines, rate, lambda total: View(console, total), console.print
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rows = tour.run()
        table = Table("", "expected", "seen", "", "", title="Conservation", title_justify="left")
        for row in rows:
            mark = "[green]ok[/]" if row.balances else "[bold red]WRONG[/]"
            table.add_row(row.name, f"{row.expected:,}", f"{row.seen:,}", mark, row.note)
        console.print(table)
        balanced = all(row.balances for row in rows)
        console.print(
            "Every row balances." if balanced else "[bold red]Some rows do not balance.[/]"
        )
        if keep:
            _keep(console, tour.folder)
    except (BrokerError, ClusterError, ConfigError, DemoError, DeploymentError, IngestError) as e:
        fail(e)
    except KeyboardInterrupt:
        fail("Interrupted; everything that the demo started is being stopped.")
    finally:
        tour.stop()
    if not balanced:
        raise typer.Exit(1)


def _keep(console: Console, folder: Path) -> None:
    """Say how to connect, in lines that can be copied, and wait for Ctrl-C."""
    python = Path(sys.executable)
    console.print(
        "Still running. Connect as acme, the way its SIEM would:\n"
        f"  cd {folder / 'bundles' / 'acme'}\n"
        "  kcat -F client.properties -G acme.kcat northbound.acme.alerts\n"
        "  (Kafka 4 refuses SCRAM of librdkafka before 2.6.1; `kcat -V` shows yours)\n"
        f"  {python} consumer.py --topic events --group acme.python\n"
        "Look inside:\n"
        f"  {python.with_name('northbound')} status --config {folder / 'northbound.yaml'}\n"
        "Ctrl-C ends it.",
        soft_wrap=True,
    )
    # Polars' handler of SIGINT restarts system calls: a wait without an end would not notice it.
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(1.0)
    console.print("Stopping.")
