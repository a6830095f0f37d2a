"""Events as IBM's Log Event Extended Format, version 2.0 (QRadar LEEF guide).

`LEEF:2.0|vendor|product|version|event|x09|key=value<tab>...`. Attributes that LEEF names have its
names, the original line is `rawEvent`, and `externalId` is the event's uid. LEEF has no escapes: a
tab or line end in a value becomes a blank, a bar or backslash in the header a slash, as some take
the two together for a bar.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
import polars as pl

from schemas import ocsf
from topology.northbound.attributes import header, pairs, severity

KEYS: Final = {
    "time": "devTime",
    "start_time": "startTime",
    "end_time": "endTime",
    "count": "eventCount",
    "metadata.uid": "externalId",
    "class_name": "cat",
    "activity_name": "action",
    "status": "outcome",
    "status_detail": "reason",
    "message": "msg",
    "src_endpoint.ip": "src",
    "src_endpoint.port": "srcPort",
    "src_endpoint.hostname": "srcHostName",
    "dst_endpoint.ip": "dst",
    "dst_endpoint.port": "dstPort",
    "dst_endpoint.hostname": "dstHostName",
    "device.hostname": "identHostName",
    "actor.user.name": "usrName",
    "actor.user.uid": "usrId",
    "actor.user.domain": "domain",
    "user.name": "accountName",
    "user.domain": "accountDomain",
    "connection_info.protocol_name": "proto",
    "http_request.url.url_string": "url",
    "file.path": "resource",
    "file.size": "fileSize",
    "file_result.path": "newResource",
    ocsf.KIND: "eventKind",
    "unmapped.state": "state",
    "raw_data": "rawEvent",
}
SEVERITIES: Final = np.array([1, 2, 4, 6, 8, 10, 10])
"""1 to 10 by OCSF's severity_id."""


def encode(events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()) -> pl.Series:
    """One line per row (Binary). `without` names attributes to leave out."""
    frame = header(events, _in_header, without=without)
    frame = frame.select("vendor", "product", "version", "event").hstack(
        [
            pl.Series("severity", severity(events, SEVERITIES)).cast(pl.String),
            pairs(events, KEYS, escape=_in_value, separator="\t", without=without),
        ]
    )
    head = pl.concat_str(
        pl.lit("LEEF:2.0"), "vendor", "product", "version", "event", pl.lit("x09"), separator="|"
    )
    body = pl.concat_str(pl.lit("sev=") + pl.col("severity"), "pairs", separator="\t")
    return frame.select((head + "|" + body).cast(pl.Binary)).to_series()


def _in_header(value: pl.Expr) -> pl.Expr:
    return _in_value(value).str.replace_all(r"[|\\]", "/")


def _in_value(value: pl.Expr) -> pl.Expr:
    return value.str.replace_all(r"[\t\r\n]", " ")
