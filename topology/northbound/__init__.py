"""Serializers: from events to the bytes that a tenant reads. One file a format."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
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
    "ecs-json": ecs_json.encode,
    "cef": cef.encode,
    "leef": leef.encode,
    "rfc5424": rfc5424.encode,
    "avro": avro.encode,
}
