"""Events as Elastic Common Schema 8.11 in JSON, absent fields omitted.

`event.id` is the event's uid and `event.original` the line. ECS has no field for the new path of a
renamed file (`file.Ext.original` is the endpoint agent's own way round): it is `file.target_path`.
Nor has it one for the count of an aggregated event or an alert: it is `event.count`.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.moments import texts_of
from topology.northbound import ocsf_json
from topology.northbound.attributes import severity

VERSION: Final = "8.11.0"
PLACES: Final[Mapping[str, str]] = {
    "location.city": "geo.city_name",
    "location.continent": "geo.continent_name",
    "location.country": "geo.country_iso_code",
    "location.lat": "geo.location.lat",
    "location.long": "geo.location.lon",
    "location.postal_code": "geo.postal_code",
    "location.region": "geo.region_iso_code",
    "autonomous_system.number": "as.number",
    "autonomous_system.name": "as.organization.name",
}
"""Attributes of an endpoint that say where it is."""
FIELDS: Final[Mapping[str, str]] = {
    "message": "message",
    "class_name": "event.dataset",
    "activity_name": "event.action",
    "metadata.uid": "event.id",
    "metadata.event_code": "event.code",
    "metadata.product.name": "observer.product",
    "metadata.product.vendor_name": "observer.vendor",
    "metadata.product.version": "observer.version",
    "device.hostname": "host.hostname",
    "status_detail": "event.reason",
    "raw_data": "event.original",
    "src_endpoint.ip": "source.ip",
    "src_endpoint.port": "source.port",
    "src_endpoint.hostname": "source.domain",
    "dst_endpoint.ip": "destination.ip",
    "dst_endpoint.port": "destination.port",
    "dst_endpoint.hostname": "destination.domain",
    **{f"src_endpoint.{name}": f"source.{field}" for name, field in PLACES.items()},
    **{f"dst_endpoint.{name}": f"destination.{field}" for name, field in PLACES.items()},
    "src_endpoint.interface_name": "observer.ingress.interface.name",
    "dst_endpoint.interface_name": "observer.egress.interface.name",
    "traffic.bytes_in": "destination.bytes",
    "traffic.bytes_out": "source.bytes",
    "traffic.packets_in": "destination.packets",
    "traffic.packets_out": "source.packets",
    "traffic.bytes": "network.bytes",
    "network.transport": "network.transport",
    "connection_info.protocol_name": "network.protocol",
    "http_request.http_method": "http.request.method",
    "service.name": "service.name",
    "process.file.path": "process.executable",
    "actor.user.name": "user.name",
    "actor.user.uid": "user.id",
    "actor.user.domain": "user.domain",
    "user.name": "user.target.name",
    "user.uid": "user.target.id",
    "user.domain": "user.target.domain",
    "actor.process.name": "process.parent.name",
    "process.name": "process.name",
    "process.pid": "process.pid",
    "process.cmd_line": "process.command_line",
    "file.path": "file.path",
    "file.name": "file.name",
    "file.ext": "file.extension",
    "file.parent_folder": "file.directory",
    "file.size": "file.size",
    "file.uid": "file.inode",
    "file_result.path": "file.target_path",
    "http_request.url.url_string": "url.full",
    "finding_info.title": "rule.name",
    "finding_info.analytic.uid": "rule.uuid",
    "finding_info.uid": "labels.alert_uid",
    "unmapped.state": "labels.alert_state",
    ocsf.KIND: "labels.northbound_kind",
    "count": "event.count",
    "start_time": "event.start",
    "end_time": "event.end",
}
"""OCSF attribute to ECS field."""
PROTOCOL: Final = "connection_info.protocol_name"
TRANSPORT: Final = "network.transport"
TRANSPORTS: Final = ("tcp", "udp", "icmp", "icmp6", "ipv6-icmp", "sctp", "gre", "esp", "igmp")
"""Names of `connection_info.protocol_name` that ECS has in a field of its own; others are those of
applications."""
FINDING: Final = 2004
"""Class of alerts."""
CATEGORIES: Final[Mapping[int, str]] = {
    ocsf.FILE_SYSTEM: "file",
    ocsf.PROCESS: "process",
    ocsf.ACCOUNT_CHANGE: "iam",
    ocsf.AUTHENTICATION: "authentication",
    ocsf.AUTHORIZE_SESSION: "session",
    ocsf.GROUP_MANAGEMENT: "iam",
    ocsf.NETWORK: "network",
    ocsf.HTTP: "web",
    ocsf.API_ACTIVITY: "api",
    ocsf.FILE_HOSTING: "file",
    FINDING: "threat",
}
"""What ECS allows in event.category, by class."""
OUTCOMES: Final[Mapping[int, str]] = {0: "unknown", 1: "success", 2: "failure"}
"""By status_id."""
SCALE: Final = np.array([0, 0, 21, 47, 73, 99, 100])
"""event.severity by severity_id, as Elastic's detection rules number them."""
TIMES: Final = ("start_time", "end_time")


def encode(events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()) -> pl.Series:
    """One JSON object per row (Binary). `without` names OCSF attributes to leave out."""
    if PROTOCOL in events.columns and PROTOCOL not in without:
        events = _transported(events)
    columns = [
        texts_of(events[name]) if name in TIMES else events[name]
        for name in FIELDS
        if name in events.columns and name not in without
    ]
    fields = [column.rename(FIELDS[column.name]) for column in columns]
    classes = _numbers(events, "class_uid")
    category = {number: f'["{name}"]' for number, name in CATEGORIES.items()}
    fields += [
        pl.Series("ecs.version", [VERSION]).new_from_index(0, events.height),
        pl.Series("event.severity", severity(events, SCALE)),
        _named("event.kind", classes, {FINDING: "alert"}, "event"),
        _named(f"event.category{ocsf.JSON_SUFFIX}", classes, category),
    ]
    if "status_id" not in without:
        fields.append(_named("event.outcome", _numbers(events, "status_id"), OUTCOMES))
    text = ocsf_json.encode(pl.DataFrame(fields)).cast(pl.String).rename("json")
    frame = pl.DataFrame([texts_of(events["time"]), text])
    line = pl.lit('{"@timestamp":"') + pl.col("time") + '",' + pl.col("json").str.slice(1)
    return frame.select(line.cast(pl.Binary)).to_series()


def _transported(events: pl.DataFrame) -> pl.DataFrame:
    """With transports in a column of their own."""
    name = pl.col(PROTOCOL).str.to_lowercase()
    is_transport = name.is_in(TRANSPORTS)
    found = events.select(
        pl.when(is_transport).then(name).alias(TRANSPORT),
        pl.when(~is_transport).then(pl.col(PROTOCOL)).alias(PROTOCOL),
    )
    return events.drop(PROTOCOL).hstack(found.get_columns())


def _numbers(events: pl.DataFrame, column: str) -> npt.NDArray[np.int64]:
    if column not in events.columns:
        return np.zeros(events.height, dtype=np.int64)
    return events[column].cast(pl.Int64).fill_null(0).to_numpy()


def _named(
    name: str,
    numbers: npt.NDArray[np.int64],
    names: Mapping[int, str],
    otherwise: str | None = None,
) -> pl.Series:
    """What each number stands for."""
    distinct, places = np.unique(numbers, return_inverse=True)
    table = [names.get(number, otherwise) for number in distinct.tolist()]
    return pl.Series(name, table, dtype=pl.String)[pl.Series(places.astype(np.uint32))]
