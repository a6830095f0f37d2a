"""Connectors of northbound.yaml: what the ingest agent fetches lines from, or is handed them by."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from app.config.connection import Strict
from app.config.fields import Duration


class FileConnector(Strict):
    """Files that grow, on a local disk or an NFS mount, across rotation and restarts."""

    type: Literal["file"]
    """Kind of connector."""
    paths: Annotated[list[str], Field(min_length=1)]
    """Files; `*`, `?`, `[...]` and `**` (any folders) as in a shell. Compressed ones are left
    out."""
    source: str
    """Which source the lines belong to."""
    start: Literal["beginning", "end"] = "beginning"
    """Where files are begun that are there when the connector runs for the first time."""
    poll: Duration = 500
    """How often is looked whether there is anything new."""
    max_line: Annotated[int, Field(ge=1, le=2_000_000)] = 1_048_576
    """Bytes a line may have."""
    oversize: Literal["truncate", "split"] = "truncate"
    """What happens to a longer line; either way it is counted."""


Connector: TypeAlias = Annotated[FileConnector, Field(discriminator="type")]
"""One line for each kind; app/ingest/connectors/registry.py has its code."""
