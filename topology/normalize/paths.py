"""Paths into OCSF `file` attributes: name, extension, folder.

A trailing slash marks a folder. `/a/b/` is folder `b` in `/a`; `/` is its own name and in nothing;
an extension needs a name before its dot. UNC paths (`\\\\host\\share`) split at backslashes.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

from topology.dimension import SMALL
from topology.rows import overlay

NAME, EXTENSION, PARENT = pl.col("name"), pl.col("ext"), pl.col("parent_folder")
BARE = pl.col("path").str.strip_suffix("/")
SPLIT = [
    pl.col("path").str.ends_with("/").alias("folder"),
    pl.col("path").str.starts_with("\\").alias("unc"),
    pl.col("path"),
    BARE.alias("bare"),
    BARE.str.extract(r"[^/]*$", 0).alias("name"),
]
LAST_DOT = [
    pl.col("folder", "unc"),
    pl.when(NAME == "").then(pl.col("path")).otherwise(NAME).alias("name"),
    NAME.str.split(".").list.get(-1).alias("ext"),
    pl.col("bare").str.strip_suffix(NAME).alias("parent_folder"),
]
PARTS = [
    pl.col("unc", "name"),
    pl.when(
        (EXTENSION.str.len_bytes() > 0)
        & (EXTENSION.str.len_bytes() + 1 < NAME.str.len_bytes())
        & ~pl.col("folder")
    )
    .then(EXTENSION)
    .alias("ext"),
    pl.when(PARENT.str.len_bytes() > 1)
    .then(PARENT.str.strip_suffix("/"))
    .when(PARENT == "/")
    .then(PARENT)
    .alias("parent_folder"),
    pl.col("folder"),
]


SCHEMA: Final[Mapping[str, type[pl.DataType]]] = {
    "name": pl.String,
    "ext": pl.String,
    "parent_folder": pl.String,
    "folder": pl.Boolean,
}


class Path(NamedTuple):
    """The parts of one path."""

    name: str
    ext: str | None
    parent_folder: str | None
    folder: bool


def split_one(path: str) -> Path:
    """The exact path through this module."""
    separator = "\\" if path.startswith("\\") else "/"
    folder = path.endswith("/")
    parent, found, name = path.removesuffix("/").rpartition(separator)
    stem, _, ext = name.rpartition(".")
    return Path(
        name or path,
        ext if stem and ext and not folder else None,
        parent or ("/" if found == "/" else None),
        folder,
    )


def split_many(paths: pl.Series) -> pl.DataFrame:
    """Columns `name`, `ext`, `parent_folder` (String) and `folder` (Boolean); null for null."""
    if len(paths) < SMALL:
        return _split_rows(paths)
    frame = paths.alias("path").to_frame().select(SPLIT).select(LAST_DOT).select(PARTS)
    unc, *columns = frame.get_columns()
    parts = pl.DataFrame(columns)
    if not unc.any():
        return parts
    rows = unc.fill_null(value=False).to_numpy().nonzero()[0]
    return overlay(parts, rows, _split_rows(paths[rows]))


def _split_rows(paths: pl.Series) -> pl.DataFrame:
    rows = [(None,) * 4 if path is None else split_one(path) for path in paths.to_list()]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
