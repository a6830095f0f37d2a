"""Status files: each process writes one every second, commands and the live view read them."""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

WORKER_FILE = "worker-"
FRESH_S = 10.0
"""Seconds after which a file says nothing about the present."""


def write_status(folder: Path, name: str, status: dict[str, Any]) -> None:
    """Replace the status file of a process at once.

    A full or read-only disk is logged and no reason for the process to end.
    """
    fresh = folder / f"{name}.json.new"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({"pid": os.getpid(), "time": time.time(), **status}))
        fresh.replace(folder / f"{name}.json")
    except OSError as error:
        log.warning("The status file cannot be written. path=%s error=%s", fresh, error)


def read_status(folder: Path) -> dict[str, dict[str, Any]]:
    """Status of each live process, by name: `ingest`, `worker-0`, ..."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        try:
            status = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(status, dict) and time.time() - status.get("time", 0) < FRESH_S:
            found[file.stem] = status
    return found
