"""A short experiment of `make chaos` on real processes: the experiments themselves work."""

from pathlib import Path

import pytest

from chaos.__main__ import run
from chaos.experiments.kill import FEW_KILLS

pytestmark = [pytest.mark.broker, pytest.mark.kill]


def test_kills_of_workers(tmp_path: Path, seed: int) -> None:
    """Senders, agent, two workers: three kill -9, and the books balance."""
    result = run("few-kills", FEW_KILLS, seed, tmp_path / "run")
    print(result)
    assert result.good, result
