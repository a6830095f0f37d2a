"""The README's first command, with fewer lines: it has to balance with any seed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.broker]

NORTHBOUND = str(Path(sys.executable).parent / "northbound")


def test_the_demo_balances(tmp_path: Path, seed: int) -> None:
    """Every raw record has one outcome and each planted incident one final alert."""
    options = ["--seed", str(seed + 1), "--lines", "40000", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(
        [NORTHBOUND, "demo", *options], capture_output=True, timeout=170, check=False, text=True
    )
    print(done.stdout[-6000:], done.stderr[-2000:])
    assert done.returncode == 0
    assert "Every row balances." in done.stdout
