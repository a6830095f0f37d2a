"""Serializers: from events to the bytes that a tenant reads. One file a format."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

import polars as pl

from topology.northbound import ocsf_json


class Serializer(Protocol):
    """Events frame to one Binary value per row, in order. `without`: columns to leave out."""

    def __call__(
        self, events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()
    ) -> pl.Series: ...


SERIALIZERS: Final[Mapping[str, Serializer]] = {"ocsf-json": ocsf_json.encode}
