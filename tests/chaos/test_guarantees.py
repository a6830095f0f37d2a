"""docs/guarantees.md lists what `make chaos` does, no more and no less."""

import re
from pathlib import Path

from chaos.experiments import EXPERIMENTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "guarantees.md"


def test_every_experiment_is_in_the_document() -> None:
    """A reader finds each experiment by its name with what it does, as the registry says it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text[text.index("## How it is tried") : text.index("## Check it from outside")]
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", section, re.MULTILINE))
    assert listed == {name: experiment.what for name, experiment in EXPERIMENTS.items()}
