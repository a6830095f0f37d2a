"""Any text at all. In: `row`, `text`. Out: `row`, `msg`."""

from collections.abc import Mapping

import polars as pl

from topology.parse.parsed import NO_FAILURES, Format, Parsed


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """The text is the message."""
    return Parsed(frame.select("row", msg="text"), NO_FAILURES)


PARSER = Format("plain", "1", parse)
