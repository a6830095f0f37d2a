"""`faust -A chaos.poisoned worker`: a worker with a normalizer and rules that raise on a mark.

`poison` does the same in the experiment's own process, for the topology test driver.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import polars as pl

from topology import formats
from topology.match.ruleset import RuleSet

NORMALIZER_MARK = "raise-in-the-normalizer"
RULE_MARK = "raise-in-a-rule"


@contextmanager
def poison() -> Iterator[None]:
    """Until the end of the block, lines with a mark raise in the stage that the mark names."""
    chain = formats.CHAINS["qumulo"]
    usual, match = chain.normalizer.normalize, RuleSet.match

    def normalize(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:
        if fields["path"].cast(pl.String).str.contains(NORMALIZER_MARK).any():
            raise ValueError("poison in the normalizer")
        return usual(fields, options)

    def raising(self: RuleSet, events: pl.DataFrame, logsource: Any) -> Any:
        if events["raw_data"].cast(pl.String).str.contains(RULE_MARK).any():
            raise ValueError("poison in a rule")
        return match(self, events, logsource)

    bad = replace(chain, normalizer=replace(chain.normalizer, normalize=normalize))
    with (
        patch.dict(formats.CHAINS, {"qumulo": bad}),
        patch.dict(formats.SOURCE_FORMATS, {"qumulo": bad}),
        patch.object(RuleSet, "match", raising),
    ):
        yield


if "NORTHBOUND_CONFIG" in os.environ:
    installed = poison()  # kept: what is collected ends the block
    installed.__enter__()
    from app.worker import app  # noqa: F401
