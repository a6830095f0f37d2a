"""Qumulo audit records into OCSF 1.6.0: 6006 for files, 3002 for logins, 6003 for the rest.

In: the fields of the rfc5424 and qumulo parsers. Out: one event a row. As logged, whatever the
class: `@user_ip`, `@user`, `@protocol`, `@operation`, `@status`, `@object_id`, `@path` and
`@target_path`. OCSF allows `api` on 6006 and 3002 only with its cloud profile, so the operation is
`metadata.event_code` everywhere, and `api.operation` on 6003 as well.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.dimension import Dimension, combine, factorize, renumber
from topology.normalize import paths
from topology.normalize import qumulo_attributes as attributes
from topology.normalize.normalizer import Normalizer
from topology.rows import expand

LOGGED: Final = (
    "user_ip",
    "user",
    "protocol",
    "operation",
    "status",
    "object_id",
    "path",
    "target_path",
)
KIND: Final = ("protocol", "operation", "status")
USER: Final = ("user", "sid", "auth_id")
JSON_ONLY: Final[Mapping[str, str]] = {
    "offset": "unmapped.offset",
    "size": "unmapped.size",
    "before:json": "unmapped.before:json",
    "after:json": "unmapped.after:json",
    "warning": "unmapped.parse_warning",
}
FOLDER: Final = 2
UNKNOWN_TYPE: Final = 0

Columns = dict[str, pl.Series]


def normalize(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:  # noqa: ARG001
    """One event per row."""
    kinds = combine(*(factorize(fields[name]) for name in KIND))
    columns: Columns = {
        "row": fields["row"],
        "time": _milliseconds(fields["timestamp"]),
        "metadata.original_time": fields["@timestamp"],
    }
    shared = _spread(kinds, attributes.CLASS, attributes.classify, [fields[name] for name in KIND])
    class_uid = shared["class_uid"].to_numpy()
    is_login = class_uid == ocsf.AUTHENTICATION
    logins = renumber(is_login.astype(np.int64), 2)
    login = pl.Series(is_login)
    users = combine(*(factorize(fields[name]) for name in USER), logins)
    sources = factorize(fields["user_ip"])
    hosts = factorize(fields["hostname"])
    shared |= _spread(
        users,
        attributes.ACTOR,
        attributes.identify,
        [*(fields[name] for name in USER), login],
    )
    shared |= _spread(sources, attributes.SOURCE, attributes.locate, [fields["user_ip"]])
    shared |= _spread(hosts, attributes.HOST, attributes.name_cluster, [fields["hostname"]])
    is_file = class_uid == ocsf.FILE_HOSTING
    if is_file.any():
        columns |= _file_columns(fields, is_file, shared)
    if not is_file.all():
        columns |= _other_columns(fields, class_uid)
    for name, attribute in JSON_ONLY.items():
        columns[attribute] = fields[name]
    del shared["@file_type"], shared["@share"]
    columns |= shared
    columns |= {
        "@class": kinds.number,
        "@actor": users.number,
        "@source": sources.number,
        "@host": hosts.number,
    }
    columns |= {f"@{name}": fields[name] for name in LOGGED}
    return pl.DataFrame(
        [
            column.alias(name)
            for name, column in columns.items()
            if column.null_count() < len(column) or name in ("row", "time")
        ]
    )


def _milliseconds(timestamp: pl.Series) -> pl.Series:
    """Datetime in microseconds to Int64 milliseconds."""
    if timestamp.null_count():
        return timestamp.to_frame("time").select(pl.col("time").dt.epoch("ms")).to_series()
    return pl.Series(timestamp.cast(pl.Int64).to_numpy() // 1000)


def _spread(
    dimension: Dimension,
    schema: Mapping[str, type[pl.DataType]],
    function: Callable[..., tuple[Any, ...]],
    arguments: list[pl.Series],
) -> Columns:
    """The function's values for every row, computed once per code."""
    distinct = [dimension.distinct(argument).to_list() for argument in arguments]
    values = zip(*(function(*row) for row in zip(*distinct, strict=True)), strict=True)
    return {
        name: dimension.spread(pl.Series(name, value, dtype=dtype))
        for (name, dtype), value in zip(schema.items(), values, strict=True)
    }


def _file_columns(fields: pl.DataFrame, is_file: npt.NDArray[np.bool_], kinds: Columns) -> Columns:
    """Attributes of 6006 where `is_file`, null elsewhere."""
    path, target = fields["path"], fields["target_path"]
    parts = paths.split_many(path)
    types = kinds["@file_type"].to_numpy()
    columns: Columns = {
        "file.path": path,
        "file.name": parts["name"].fill_null("") if path.null_count() else parts["name"],
        "file.ext": parts["ext"],
        "file.parent_folder": parts["parent_folder"],
        "file.uid": fields["object_id"],
        "file.type_id": _type_ids(parts["folder"], types),
        "file.size": fields["file_size"],
    }
    is_share = kinds["@share"]
    if is_share.any():
        columns["share"] = path.set(~is_share, None)
    renamed = target.is_not_null().to_numpy().nonzero()[0]
    if len(renamed):
        table = _target_table(target[renamed], types[renamed])
        columns |= expand(table, renamed, fields.height).to_dict()
    if not is_file.all():
        others = pl.Series(~is_file)
        columns = {name: column.set(others, None) for name, column in columns.items()}
    return columns


def _target_table(targets: pl.Series, types: npt.NDArray[np.int64]) -> pl.DataFrame:
    parts = paths.split_many(targets)
    return pl.DataFrame(
        {
            "file_result.path": targets,
            "file_result.name": parts["name"],
            "file_result.ext": parts["ext"],
            "file_result.parent_folder": parts["parent_folder"],
            "file_result.type_id": _type_ids(parts["folder"], types),
        }
    )


def _type_ids(folder: pl.Series, types: npt.NDArray[np.int64]) -> pl.Series:
    """Folder by its trailing slash, unknown without a path, else by the operation."""
    if folder.null_count():
        types = np.where(folder.is_null().to_numpy(), UNKNOWN_TYPE, types)
        folder = folder.fill_null(value=False)
    return pl.Series(np.where(folder.to_numpy(), FOLDER, types))


def _other_columns(fields: pl.DataFrame, class_uid: npt.NDArray[np.int64]) -> Columns:
    """What a record of 3002 or 6003 says about an object; `resources` is an attribute of 6003."""
    is_file = pl.Series(class_uid == ocsf.FILE_HOSTING)
    no_call = pl.Series(class_uid != ocsf.API_ACTIVITY)
    return {
        "unmapped.path": fields["path"].set(is_file, None),
        "unmapped.target_path": fields["target_path"].set(is_file, None),
        "unmapped.object_id": fields["object_id"].set(is_file, None),
        "resources[0].name": fields["path"].set(no_call, None),
        "resources[0].uid": fields["object_id"].set(no_call, None),
    }


NORMALIZER = Normalizer("qumulo", "1", normalize)
