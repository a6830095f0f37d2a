"""The file and directory operations that Qumulo Broker names, from Qumulo's own records.

Names: Qumulo documentation, "How Qumulo Core Integrates with Varonis", Supported Operations: ten
for files, eight for directories. Which of Qumulo's operations the first five are made of is what
the Broker's rsyslog rules say. The others (owner, permissions, protection) are `fs_write_metadata`
and told apart by its `before` and `after`, of which the documentation shows the owner alone; of
permissions it is assumed that they look as in Qumulo's REST API (`acl` with `aces` and `control`,
or `mode`). No real sample was seen, so these are marked as unverified.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

OPTION: Final = "broker_operations"
ALL: Final = "all"
CHANGES: Final = "changes"
"""What the option can be: whether all operations are named or only changes of metadata."""

OPERATIONS: Final = {
    "fs_create_directory": ("Create {}", True),
    "fs_create_file": ("Create {}", False),
    "fs_delete": ("Delete {}", None),
    "fs_read_data": ("Read {}", False),
    "fs_rename": ("Rename {}", None),
    "fs_write_data": ("Write to {}", False),
}
"""The name, and whether it is one for directories; None: as the object is."""
WRITE_METADATA: Final = "fs_write_metadata"
ADD_PERMISSIONS: Final = "Add {} permissions"
REMOVE_PERMISSIONS: Final = "Remove {} permissions"
ADD_PROTECTION: Final = "Add {} protection"
REMOVE_PROTECTION: Final = "Remove {} protection"
CHANGE_OWNER: Final = "Change {} owner"
PROTECTED: Final = "PROTECTED"
"""In `control` of an ACL: it takes nothing from the directory above."""
OWNER: Final = r'"owner":\{[^{}]*\}'
MODE: Final = re.compile("[0-7]{3,5}")
NAMES: Final = pl.List(pl.String)

BEFORE: Final = pl.col("before")
AFTER: Final = pl.col("after")
MAY_TELL: Final = [
    (BEFORE.str.extract(OWNER, 0) != AFTER.str.extract(OWNER, 0)).fill_null(value=False)
    | BEFORE.str.contains('"(?:acl|mode)":')
]
"""A difference of anything else is told by none of the names."""


def changes(before: str, after: str) -> tuple[str, ...]:
    """Names of what a metadata write changed, by the JSON texts of its `before` and `after`.

    What only one of them has says nothing. An ACL of another form than expected gives no name.
    """
    old, new = _object(before), _object(after)
    added, removed = _difference(_entries(old.get("acl")), _entries(new.get("acl")))
    more, less = _bits(old.get("mode"), new.get("mode"))
    protected, was = _protected(new.get("acl")), _protected(old.get("acl"))
    told = (
        (ADD_PERMISSIONS, added or more),
        (REMOVE_PERMISSIONS, removed or less),
        (ADD_PROTECTION, protected is True and was is False),
        (REMOVE_PROTECTION, protected is False and was is True),
        (CHANGE_OWNER, _differ(old.get("owner"), new.get("owner"))),
    )
    return tuple(name for name, holds in told if holds)


def name_changes(
    operation: pl.Series, before: pl.Series, after: pl.Series, folder: npt.NDArray[np.bool_]
) -> pl.Series:
    """For each row the names of its changes, null where there are none."""
    texts = pl.DataFrame([before.alias("before"), after.alias("after")])
    may = texts.select(MAY_TELL).to_series().fill_null(value=False)
    places = np.flatnonzero((may & (operation == WRITE_METADATA)).to_numpy())
    names: list[list[str] | None] = [None] * len(operation)
    for place, old, new in zip(
        places.tolist(), before[places].to_list(), after[places].to_list(), strict=True
    ):
        if old is not None and new is not None and (found := changes(old, new)):
            kind = _kind(bool(folder[place]))
            names[place] = [name.format(kind) for name in found]
    return pl.Series(names, dtype=NAMES)


def name_operations(
    codes: npt.NDArray[np.uint32],
    operations: Iterable[str | None],
    folder: npt.NDArray[np.bool_],
) -> pl.Series:
    """For each row the name of its operation, null where the Broker has none. `codes`: which of the
    operations a row has."""
    table: list[list[str] | None] = []
    for operation in operations:
        name, directory = OPERATIONS.get(operation or "", (None, None))
        for is_folder in (False, True):
            kind = _kind(is_folder if directory is None else directory)
            table.append(None if name is None else [name.format(kind)])
    return pl.Series(table, dtype=NAMES)[pl.Series(codes.astype(np.uint32) * 2 + folder)]


def _kind(folder: bool) -> str:
    return "directory" if folder else "file"


def _object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _entries(acl: Any) -> list[bytes] | None:
    """Each entry of an ACL as a text to compare; None where there is no list of them."""
    entries = acl.get("aces") if isinstance(acl, dict) else acl
    if not isinstance(entries, list):
        return None
    return [orjson.dumps(entry, option=orjson.OPT_SORT_KEYS) for entry in entries]


def _difference(old: list[bytes] | None, new: list[bytes] | None) -> tuple[bool, bool]:
    """Whether entries were added, and removed."""
    if old is None or new is None:
        return False, False
    return bool(set(new) - set(old)), bool(set(old) - set(new))


def _protected(acl: Any) -> bool | None:
    control = acl.get("control") if isinstance(acl, dict) else None
    return PROTECTED in control if isinstance(control, list) else None


def _bits(old: Any, new: Any) -> tuple[bool, bool]:
    """Whether the POSIX mode, in octal digits, got bits and lost some."""
    if not (isinstance(old, str) and isinstance(new, str)):
        return False, False
    if not (MODE.fullmatch(old) and MODE.fullmatch(new)):
        return False, False
    before, after = int(old, 8), int(new, 8)
    return bool(after & ~before), bool(before & ~after)


def _differ(old: Any, new: Any) -> bool:
    """Owners are compared by the ids that both have; they may be written with different ones."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return False
    return any(old[name] != new[name] for name in ("sid", "auth_id") if name in old and name in new)
