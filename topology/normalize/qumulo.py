"""Qumulo audit records into OCSF 1.6.0: 6006 for files, 3002 for logins, 6003 for the rest.

In: the fields of the rfc5424 and qumulo parsers. Out: one event a row. As logged, whatever the
class: `@user_ip`, `@user`, `@protocol`, `@operation`, `@status`, `@object_id`, `@path` and
`@target_path`. OCSF allows `api` on 6006 and 3002 only with its cloud profile, so the operation is
`metadata.event_code` everywhere, and `api.operation` on 6003 as well. `unmapped.broker_operations`
is what Qumulo Broker calls it: of metadata writes always, of others by the option of this name.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.dimension import SMALL, Dimension, combine, factorize
from topology.memo import Memo
from topology.normalize import paths, qumulo_broker
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
ORIGIN: Final = ("hostname", "user_ip")
USER: Final = ("user", "sid", "auth_id")
LOGIN: Final = "is_login"
RARE: Final[Mapping[str, str]] = {
    "offset": "unmapped.offset",
    "size": "unmapped.size",
    "before:json": "unmapped.before:json",
    "after:json": "unmapped.after:json",
    "warning": "unmapped.parse_warning",
    "repeated": "count",
}
BROKER: Final = "unmapped.broker_operations"
UNVERIFIED: Final = f"{BROKER}_unverified"
FOLDER: Final = 2
UNKNOWN_TYPE: Final = 0

Columns = dict[str, pl.Series]


def normalize(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:
    """One event per row."""
    rows = fields.height
    given = {column.name: column for column in fields.get_columns()}
    kinds = _spread(
        "@class", lambda: _dimension(fields, "@kind", KIND), attributes.KINDS, given, KIND
    )
    class_uid = kinds["class_uid"].to_numpy()
    is_login = class_uid == ocsf.AUTHENTICATION
    given[LOGIN] = pl.Series(is_login)
    if "sid" in given or "auth_id" in given:
        for name in USER:
            given.setdefault(name, pl.Series([None], dtype=pl.String).new_from_index(0, rows))
    who = (*(name for name in USER if name in given), LOGIN)

    def users() -> Dimension:
        known = pl.DataFrame([given[name].alias(name) for name in who[:-1]])
        logins = Dimension(is_login.astype(np.uint32), 2)
        return combine(*factorize(known, known.columns), logins)

    actors = _spread("@actor", users, attributes.ACTORS[len(who)], given, who)
    sources = _spread(
        "@source",
        lambda: _dimension(fields, "@origin", ORIGIN),
        attributes.ORIGINS,
        given,
        ORIGIN,
    )
    is_file = class_uid == ocsf.FILE_HOSTING
    columns: Columns = {"metadata.original_time": given["@timestamp"]}
    if is_file.any():
        columns |= _file_columns(given, is_file, kinds)
    if not is_file.all():
        columns |= _other_columns(given, class_uid)
    for name, attribute in RARE.items():
        if name in given:
            columns[attribute] = given[name]
    if is_file.any():
        columns |= _broker_operations(given, columns["file.type_id"], options)
    for name in LOGGED:
        columns[f"@{name}"] = given[name]
    return pl.DataFrame(
        [
            given["row"],
            _milliseconds(given["timestamp"]).alias("time"),
            *(c.alias(name) for name, c in columns.items() if c.null_count() < rows),
            *kinds.get_columns(),
            *actors.get_columns(),
            *sources.get_columns(),
        ]
    )


def _dimension(fields: pl.DataFrame, code: str, names: tuple[str, ...]) -> Dimension:
    """The combinations of some fields, from the parser's own codes where it gives them."""
    if code not in fields.columns:
        return combine(*factorize(fields, names))
    codes = fields[code].to_numpy()
    return Dimension(codes, int(codes.max()) + 1)


def _spread(
    code: str,
    dimension: Callable[[], Dimension],
    memo: Memo,
    given: Columns,
    arguments: tuple[str, ...],
) -> pl.DataFrame:
    """What follows from the arguments, for every row, and the column that says which rows agree.

    `dimension` gives their combinations; a few rows are looked up one by one.
    """
    columns = [given[name] for name in arguments]
    if len(columns[0]) < SMALL:
        table, places = memo.look_up(list(zip(*(c.to_list() for c in columns), strict=True)))
    else:
        combinations = dimension()
        distinct = [combinations.distinct(column) for column in columns]
        table, found = memo.look_up_columns(distinct)
        places = found[combinations.codes]
    numbers = pl.Series(code, places)
    return table[numbers].hstack([numbers])


def _milliseconds(timestamp: pl.Series) -> pl.Series:
    """Datetime in microseconds to Int64 milliseconds."""
    if timestamp.null_count():
        return timestamp.to_frame("time").select(pl.col("time").dt.epoch("ms")).to_series()
    return pl.Series(timestamp.cast(pl.Int64).to_numpy() // 1000)


def _file_columns(given: Columns, is_file: npt.NDArray[np.bool_], kinds: pl.DataFrame) -> Columns:
    """Attributes of 6006 where `is_file`, null elsewhere."""
    path, target = given["path"], given["target_path"]
    rows = len(path)
    types = kinds["@file_type"].to_numpy()
    columns: Columns = {}
    if target.null_count() < rows:
        renamed = target.is_not_null().to_numpy().nonzero()[0]
        targets = target[renamed]
        parts = paths.split_many(pl.concat([path, targets]))
        table = _path_table("file_result", targets, parts[rows:], types[renamed])
        columns |= expand(table, renamed, rows).to_dict()
        parts = parts[:rows]
    else:
        parts = paths.split_many(path)
    columns |= _path_table("file", path, parts, types).to_dict()
    columns["file.uid"] = given["object_id"]
    if "file_size" in given:
        columns["file.size"] = given["file_size"]
    is_share = kinds["@share"]
    if is_share.any():
        columns["share"] = path.set(~is_share, None)
    if not is_file.all():
        others = pl.Series(~is_file)
        columns = {
            name: column.set(others, None)
            for name, column in columns.items()
            if column.null_count() < rows
        }
    return columns


def _broker_operations(given: Columns, types: pl.Series, options: Mapping[str, str]) -> Columns:
    """`types`: type_id of the file, null where there is none."""
    rows = len(types)
    folder = types.fill_null(UNKNOWN_TYPE).to_numpy() == FOLDER
    columns: Columns = {}
    if options.get(qumulo_broker.OPTION) == qumulo_broker.ALL:
        (operations,) = factorize(given["operation"].to_frame(), ["operation"])
        distinct = operations.distinct(given["operation"]).to_list()
        columns[BROKER] = qumulo_broker.name_operations(operations.codes, distinct, folder)
    before, after = (given.get(name) for name in ("before:json", "after:json"))
    if before is None or after is None or before.null_count() == rows:
        return columns
    changes = qumulo_broker.name_changes(given["operation"], before, after, folder)
    if changes.null_count() < rows:
        derived = changes.is_not_null()
        known = columns.get(BROKER)
        columns[BROKER] = changes if known is None else changes.zip_with(derived, known)
        columns[UNVERIFIED] = derived.set(~derived, None)
    return columns


def _path_table(
    attribute: str, path: pl.Series, parts: pl.DataFrame, types: npt.NDArray[np.int64]
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            f"{attribute}.path": path,
            # OCSF wants a name, and an empty one is all that the record says.
            f"{attribute}.name": parts["name"].fill_null("")
            if path.null_count()
            else parts["name"],
            f"{attribute}.ext": parts["ext"],
            f"{attribute}.parent_folder": parts["parent_folder"],
            f"{attribute}.type_id": _type_ids(parts["folder"], types),
        }
    )


def _type_ids(folder: pl.Series, types: npt.NDArray[np.int64]) -> pl.Series:
    """Folder by its trailing slash, unknown without a path, else by the operation."""
    if folder.null_count():
        types = np.where(folder.is_null().to_numpy(), UNKNOWN_TYPE, types)
        folder = folder.fill_null(value=False)
    return pl.Series(np.where(folder.to_numpy(), FOLDER, types))


def _other_columns(given: Columns, class_uid: npt.NDArray[np.int64]) -> Columns:
    """What a record of 3002 or 6003 says about an object; `resources` is an attribute of 6003."""
    is_file = pl.Series(class_uid == ocsf.FILE_HOSTING)
    no_call = pl.Series(class_uid != ocsf.API_ACTIVITY)
    return {
        "unmapped.path": given["path"].set(is_file, None),
        "unmapped.target_path": given["target_path"].set(is_file, None),
        "unmapped.object_id": given["object_id"].set(is_file, None),
        "resources[0].name": given["path"].set(no_call, None),
        "resources[0].uid": given["object_id"].set(no_call, None),
    }


NORMALIZER = Normalizer("qumulo", "1", normalize)
