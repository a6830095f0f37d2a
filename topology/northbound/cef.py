"""Events as ArcSight Common Event Format, version 0 (CEF Implementation Standard, revision 25).

`CEF:0|vendor|product|version|signature|name|severity|key=value ...`. Attributes that CEF has a key
for are written, and the original line as `rawEvent`; `externalId` is the event's uid, by which all
of it can be found.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
import polars as pl

from schemas import ocsf
from topology.northbound.attributes import header, pairs, severity

KEYS: Final = {
    "time": "rt",
    "start_time": "start",
    "end_time": "end",
    "count": "cnt",
    "@type": "type",
    "metadata.uid": "externalId",
    "class_name": "cat",
    "activity_name": "act",
    "status": "outcome",
    "status_detail": "reason",
    "message": "msg",
    "src_endpoint.ip": "src",
    "src_endpoint.port": "spt",
    "src_endpoint.hostname": "shost",
    "dst_endpoint.ip": "dst",
    "dst_endpoint.port": "dpt",
    "dst_endpoint.hostname": "dhost",
    "device.hostname": "dvchost",
    "actor.user.name": "suser",
    "actor.user.uid": "suid",
    "actor.user.domain": "sntdom",
    "actor.process.name": "sproc",
    "user.name": "duser",
    "user.uid": "duid",
    "user.domain": "dntdom",
    "process.name": "dproc",
    "connection_info.protocol_name": "proto",
    "http_request.url.url_string": "request",
    "file.name": "fname",
    "file.path": "filePath",
    "file.size": "fsize",
    "file.uid": "fileId",
    "file_result.path": "cs1Label=newFilePath cs1",
    "unmapped.state": "cs2Label=alertState cs2",
    "@kind": "cs3Label=eventKind cs3",
    "raw_data": "rawEvent",
}
TYPES: Final = {"base": 0, "aggregated": 1, "correlation": 2, "monitoring": 0}
"""`type` by what an event is."""
UNTYPED: Final = "monitoring"
"""What `type` has no number for, so that it is told in words, too."""
SEVERITIES: Final = np.array([0, 2, 4, 6, 8, 10, 10])
"""0 to 10 by OCSF's severity_id."""


def encode(events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()) -> pl.Series:
    """One line per row (Binary). `without` names attributes to leave out."""
    if ocsf.KIND in events.columns and ocsf.KIND not in without:
        types = pl.col(ocsf.KIND).replace_strict(TYPES, default=None, return_dtype=pl.Int64)
        kind = pl.col(ocsf.KIND)
        untyped = pl.when(kind == UNTYPED).then(kind)
        events = events.with_columns(types.alias("@type"), untyped.alias("@kind"))
    frame = header(events, _in_header, without=without).hstack(
        [
            pl.Series("severity", severity(events, SEVERITIES)).cast(pl.String),
            pairs(events, KEYS, escape=_in_extension, separator=" ", without=without),
        ]
    )
    line = pl.concat_str(pl.lit("CEF:0"), *frame.columns, separator="|")
    return frame.select(line.cast(pl.Binary)).to_series()


def _in_header(value: pl.Expr) -> pl.Expr:
    return (
        value.str.replace_all("\\", "\\\\", literal=True)
        .str.replace_all("|", "\\|", literal=True)
        .str.replace_all(r"[\r\n]+", " ")
    )


def _in_extension(value: pl.Expr) -> pl.Expr:
    return (
        value.str.replace_all("\\", "\\\\", literal=True)
        .str.replace_all("=", "\\=", literal=True)
        .str.replace_all("\n", "\\n", literal=True)
        .str.replace_all("\r", "\\r", literal=True)
    )
