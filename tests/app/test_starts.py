"""What commands load before they do anything, which is most of the time that a short one takes."""

import json
import subprocess
import sys

CODE = """
import json, sys
from importlib import import_module

for modules in (
    [
        *("app.cli", "app.commands.tenants", "app.consumers", "app.commands.ingest"),
        *("app.ingest.agent", "app.commands.status", "app.status", "app.up_lock", "app.lag"),
        *("app.commands.deliver", "app.deliver.process", "app.deliver.registry"),
    ],
    ["app.planning"],
):
    for name in modules:
        import_module(name)
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_light_commands_load_nothing_heavy() -> None:
    """Help, lists of tenants, status, the ingest agent and deliveries start without Polars;
    whatever reads rules and sources, as `tenants add` does, without pySigma, Faust and aiohttp."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=True
    )
    light, planning = (set(json.loads(line)) for line in done.stdout.splitlines())
    heavy = {"sigma", "faust", "aiohttp", "aiokafka", "rocksdict", "jgo"}
    assert not light & {*heavy, "polars", "fastavro", "cryptography"}
    assert not planning & heavy
