"""Alerts in every format that events have: a finding is an event of class 2004."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import polars as pl

from schemas import ocsf
from topology.northbound import SERIALIZERS


def encode_findings(findings: Sequence[bytes], form: str) -> Sequence[bytes] | pl.Series:
    """Findings as OCSF JSON (topology/northbound/finding.py) in a format, in their order."""
    if form == "ocsf-json":
        return findings
    flat = [dict(_flat(orjson.loads(finding))) for finding in findings]
    return SERIALIZERS[form](pl.DataFrame(flat, infer_schema_length=None))


def _flat(members: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Attributes by path; lists as JSON text."""
    for name, value in members.items():
        at = f"{path}{name}"
        if isinstance(value, dict):
            yield from _flat(value, f"{at}.")
        elif isinstance(value, list):
            yield f"{at}{ocsf.JSON_SUFFIX}", orjson.dumps(value).decode()
        else:
            yield at, value
