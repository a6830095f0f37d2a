"""`northbound doctor`: the checks of a tenant's bundle, run from here."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.config import DEFAULT_PATH
from app.output import as_json, fail


def doctor(
    tenant: Annotated[str, typer.Argument(help="Whose feeds are to be read.")],
    *,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Read a tenant's feeds as its SIEM would, and say what is in the way: name, port, certificate,
    login, rights on topics and groups, records, clock, lag. Its bundle holds the same doctor.py.

    Example: northbound doctor acme
    """
    from app import bundles
    from app.broker.cluster_error import ClusterError

    settings = configured(config)
    if tenant not in settings.tenants:
        fail(f"no tenant {tenant}; expected one of {', '.join(settings.tenants)}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "bundle"
        try:
            bundles.write(settings, tenant, folder)
        except ClusterError as error:
            fail(error)
        command = [sys.executable, "-I", str(folder / "doctor.py")]
        command += ["--json"] if as_json(json) else []
        status = subprocess.run(command, check=False).returncode
    raise typer.Exit(status)
