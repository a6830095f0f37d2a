"""Alerts in every format that events have: a finding is an event of class 2004."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
import polars as pl

from schemas import ocsf
from topology.northbound import serializer
from topology.northbound.indicators import split

CALENDAR: Final = -62_135_596_800_000, 253_402_300_799_999
"""Milliseconds of the first and the last moment that has a date of four digits. Events may say any
time, and windows reach beyond it."""


class Form(NamedTuple):
    """What a tenant's alerts are written as. `schema_id`: of a schema registry, with avro."""

    format: str = "ocsf-json"
    schema_id: int | None = None


def encode_findings(
    keys: Sequence[bytes], findings: Sequence[bytes], form: Form
) -> tuple[Sequence[bytes] | pl.Series, Sequence[bytes]]:
    """Values and keys of findings as OCSF JSON (topology/northbound/finding.py) in a format, in
    their order."""
    if form.format == "ocsf-json":
        return findings, keys
    findings = [_dated(finding) for finding in findings]
    if form.format == "indicator-json":
        return split(keys, findings)
    flat = [dict(_flat(orjson.loads(finding))) for finding in findings]
    return serializer(*form)(pl.DataFrame(flat, infer_schema_length=None)), keys


def _dated(finding: bytes) -> bytes:
    """With times that every format can write; as it is, but for times that no calendar has."""
    members = orjson.loads(finding)
    first, last = CALENDAR
    wrong = {
        name: min(max(members[name], first), last)
        for name in ("time", "start_time", "end_time")
        if not first <= members[name] <= last
    }
    return orjson.dumps({**members, **wrong}) if wrong else finding


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
