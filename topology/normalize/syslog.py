"""Syslog messages whose content nobody has described: OCSF Base Event with the host profile."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from topology.normalize.base_event import base_event
from topology.normalize.normalizer import Normalizer

KEYWORDS: Final = pl.Series(
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"]
)
"""RFC 5424 table 2, by number."""
SEVERITY_IDS: Final = np.array([6, 5, 5, 4, 3, 2, 1, 1], dtype=np.int64)
"""OCSF severity_id by syslog severity."""


def normalize(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:  # noqa: ARG001
    """From the fields of rfc5424 and repeated. One event per row."""
    rows = fields.height
    severity = fields["severity"].to_numpy()
    hostname, appname = fields["hostname"], fields["appname"]
    columns = {
        "row": fields["row"],
        "time": fields.select(pl.col("timestamp").dt.epoch("ms")).to_series(),
        "message": fields["msg"],
        "metadata.original_time": fields["@timestamp"],
        "metadata.event_code": fields["msgid"],
        "metadata.log_level": KEYWORDS[pl.Series(severity)],
        "metadata.profiles": pl.Series([["host"]]).new_from_index(0, rows),
        "device.hostname": hostname,
        "device.type_id": pl.Series([0]).new_from_index(0, rows).set(hostname.is_null(), None),
        "actor.app_name": appname,
        "count": fields["repeated"],
        "unmapped.facility": fields["facility"].cast(pl.Int64),
        "unmapped.procid": fields["procid"],
        "unmapped.sd:json": fields["sd:json"].set(fields["sd:json"] == "{}", None),
        **base_event(rows, SEVERITY_IDS[severity], appname.fill_null("syslog"), "syslog"),
    }
    return pl.DataFrame([column.alias(name) for name, column in columns.items()])


NORMALIZER = Normalizer("syslog", "1", normalize)
