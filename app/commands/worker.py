"""`northbound worker`: one stream worker, the same as `faust -A app.worker worker`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import ConfigOption, configured
from app.config import DEFAULT_PATH
from app.output import fail


def worker(
    *,
    agent: Annotated[
        list[str] | None,
        typer.Option(help="normalize (with `expose`), events or alerts; repeat. Default: all."),
    ] = None,
    web_port: Annotated[int, typer.Option(help="For /ready, /stats, /metrics; 0: free.")] = 0,
    loglevel: Annotated[str, typer.Option(help="Of the worker's log.")] = "warn",
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run sub-topologies until SIGTERM or Ctrl-C; start as many on as many hosts as you like.

    Example: northbound worker --agent events
    """
    if agent:  # else the worker reads the file itself, and says what is wrong with it
        from topology.pipeline import pipeline

        known = [node.name for node in pipeline(configured(config).expose)]
        if unknown := [name for name in agent if name not in known]:
            fail(f"no agent {', '.join(unknown)}; expected {' or '.join(known)}", status=2)
    os.environ["NORTHBOUND_CONFIG"] = str(config.absolute())
    if agent:
        os.environ["NORTHBOUND_AGENTS"] = ",".join(agent)
    faust = Path(sys.executable).parent / "faust"
    argv = [str(faust), "-A", "app.worker", "worker", "--loglevel", loglevel]
    if web_port:
        argv += ["--web-port", str(web_port)]
    sys.stdout.flush()
    os.execv(faust, argv)  # noqa: S606  # the same process goes on as Faust's worker
