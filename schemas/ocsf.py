"""The event model: OCSF 1.6.0 held as flat columns named by attribute path.

Rules for column names of an events frame:
- `src_endpoint.ip`: an attribute path; null means absent, and absent attributes are not written.
- `enrichments[asset].name`: `name` of one element of the array `enrichments`; elements are written
  in the order of their labels, without the label.
- `unmapped.before:json`: the column holds JSON text, which is written as it is.
- `row`, `sub` and names that begin with `@` are internal and never written.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

VERSION: Final = "1.6.0"

BASE_EVENT: Final = 0
FILE_SYSTEM: Final = 1001
PROCESS: Final = 1007
ACCOUNT_CHANGE: Final = 3001
AUTHENTICATION: Final = 3002
AUTHORIZE_SESSION: Final = 3003
GROUP_MANAGEMENT: Final = 3006
NETWORK: Final = 4001
HTTP: Final = 4002
API_ACTIVITY: Final = 6003
FILE_HOSTING: Final = 6006

CLASS_NAMES: Final[Mapping[int, str]] = {
    BASE_EVENT: "Base Event",
    FILE_SYSTEM: "File System Activity",
    PROCESS: "Process Activity",
    ACCOUNT_CHANGE: "Account Change",
    AUTHENTICATION: "Authentication",
    AUTHORIZE_SESSION: "Authorize Session",
    GROUP_MANAGEMENT: "Group Management",
    NETWORK: "Network Activity",
    HTTP: "HTTP Activity",
    API_ACTIVITY: "API Activity",
    FILE_HOSTING: "File Hosting Activity",
}
OTHER_ACTIVITY: Final = 99

SEVERITY_NAMES: Final[Mapping[int, str]] = {
    0: "Unknown",
    1: "Informational",
    2: "Low",
    3: "Medium",
    4: "High",
    5: "Critical",
    6: "Fatal",
}
STATUS_NAMES: Final[Mapping[int, str]] = {0: "Unknown", 1: "Success", 2: "Failure", 99: "Other"}

KIND: Final = "unmapped.northbound_kind"
"""What an event is: base, aggregated, correlation or monitoring."""

JSON_SUFFIX: Final = ":json"
CODE: Final = "@code."
"""`@code.<column>` (UInt32) may say which rows of that column are equal: those with equal code."""
FRAME_COLUMNS: Final = frozenset({"row", "sub"})

WRITTEN: Final = "metadata.original_time"
"""A time stamp as the source wrote it: parsed by most formats, and any text where it could not be,
or where a normalizer or a mutation says so."""
UNESCAPED: Final = frozenset({WRITTEN, "metadata.uid"})
"""Texts of which JSON escapes nothing: time stamps, once they were looked at, and uids."""

SHARED: Final[Mapping[str, tuple[str, ...]]] = {
    "@class": (
        "activity_id",
        "activity_name",
        "category_uid",
        "class_uid",
        "class_name",
        "type_uid",
        "severity_id",
        "severity",
        "status_id",
        "status",
        "status_code",
        "status_detail",
        "metadata.version",
        "metadata.product.",
        "metadata.log_name",
        "metadata.event_code",
        "api.",
        "connection_info.",
        "service.",
        "logon_type_id",
        "unmapped.protocol",
        KIND,
    ),
    "@actor": ("actor.", "user."),
    "@source": ("src_endpoint.", "dst_endpoint."),
}
"""Code columns (UInt32) and the attributes, or prefixes of them, that are functions of the code.

Rows with the same code have the same values in all of these attributes, so they are encoded once
per code. A stage that changes one of the attributes for some rows drops the code column.
"""


def is_written(column: str) -> bool:
    """Whether a column of an events frame is an attribute of the event."""
    return not column.startswith("@") and column not in FRAME_COLUMNS


def shared_by(code: str, columns: Iterable[str]) -> list[str]:
    """Those of the columns that the code column determines."""
    return [
        column
        for column in columns
        if any(
            column.startswith(name) if name.endswith(".") else column == name
            for name in SHARED[code]
        )
    ]


def stale_codes(columns: Collection[str], target: str, sources: Sequence[str]) -> list[str]:
    """Code columns that go when `target` is made of `sources`, and of what it was before.

    Rows with such a code may differ in the target then. A code that determines all sources stays.
    """
    stale = [code for code in columns if code == f"{CODE}{target}" and list(sources) != [target]]
    return stale + [
        code
        for code in SHARED
        if code in columns
        and shared_by(code, [target])
        and len(shared_by(code, sources)) < len(sources)
    ]
