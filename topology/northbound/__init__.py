"""Serializers: from events to the bytes that a tenant reads. One file a format."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, Protocol

import polars as pl

from topology.northbound import avro, cef, ecs_json, leef, ocsf_json, rfc5424


class Serializer(Protocol):
    """Events frame to one Binary value per row, in order. `without`: columns to leave out."""

    def __call__(
        self, events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()
    ) -> pl.Series: ...


SERIALIZERS: Final[Mapping[str, Serializer]] = {
    "ocsf-json": ocsf_json.encode,
    "indicator-json": ocsf_json.encode,  # of events; alerts are split (indicators.py)
    "ecs-json": ecs_json.encode,
    "cef": cef.encode,
    "leef": leef.encode,
    "rfc5424": rfc5424.encode,
    "avro": avro.encode,
}


def serializer(form: str, schema_id: int | None = None) -> Serializer:
    """That of a format; `schema_id`: of a registry, with avro, which then writes it."""
    if schema_id is None:
        return SERIALIZERS[form]
    if form != "avro":
        raise ValueError(f"saw a schema id for {form}, expected avro")
    return partial(avro.encode, schema_id=schema_id)
