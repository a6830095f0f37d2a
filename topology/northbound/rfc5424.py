"""Events as syslog messages (RFC 5424) whose MSG is the event as OCSF JSON.

Facility 13 (log audit); severity, host, application and MSGID from the event. What a field may not
hold becomes `_`, and what is too long for it is cut: MSG has it whole.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
import polars as pl

from topology.moments import texts_of
from topology.northbound import ocsf_json
from topology.northbound.attributes import first, severity

LOG_AUDIT: Final = 13
SEVERITIES: Final = np.array([5, 6, 5, 4, 3, 2, 1])
"""RFC 5424 table 2, by OCSF's severity_id; unknown is notice."""
NIL: Final = "-"
FIELDS: Final = {
    "host": (("device.hostname", "dst_endpoint.hostname"), 255),
    "application": (("metadata.product.name",), 48),
    "message": (("finding_info.analytic.uid", "metadata.event_code"), 32),
}
"""Attributes of HOSTNAME, APP-NAME and MSGID, and how long they may be (RFC 5424, 6)."""


def encode(events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()) -> pl.Series:
    """One message per row (Binary). `without` names attributes to leave out, of the header too."""
    fields = [
        first(events, columns, NIL, without=without).rename(name)
        for name, (columns, _) in FIELDS.items()
    ]
    frame = pl.DataFrame(
        [
            pl.Series("pri", LOG_AUDIT * 8 + severity(events, SEVERITIES)).cast(pl.String),
            texts_of(events["time"]),
            *fields,
            ocsf_json.encode(events, without=without).cast(pl.String).rename("json"),
        ]
    )
    written = [
        pl.col(name).str.replace_all(r"[^!-~]", "_").str.slice(0, most).replace("", NIL)
        for name, (_, most) in FIELDS.items()
    ]
    host, application, message = written
    line = pl.concat_str(
        pl.lit("<") + pl.col("pri") + ">1",
        "time",
        host,
        application,
        pl.lit(NIL),
        message,
        pl.lit(NIL),
        pl.col("json").str.replace_all(r"[\r\n]", " "),
        separator=" ",
    )
    return frame.select(line.cast(pl.Binary)).to_series()
