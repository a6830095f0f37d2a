"""Connectors of northbound.yaml: what the ingest agent fetches lines from, or is handed them by."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from app.config.connection import Strict
from app.config.fields import Address, Duration, Size
from app.config.listeners import ListenerTls


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


class HttpConnector(Strict):
    """A port that takes lines by HTTP POST; answered with 200 once Kafka has all of them."""

    type: Literal["http"]
    """Kind of connector."""
    listen: Address
    """host:port; 0.0.0.0 for all addresses."""
    source: str
    """Which source the lines belong to."""
    path: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/"
    """Path that requests are sent to."""
    token_file: Path | None = None
    """File of tokens, one a line; a request brings one of them (`Authorization: Bearer`)."""
    token_env: str | None = None
    """Name of an environment variable that holds them instead."""
    body: Literal["lines", "whole"] = "lines"
    """lines: each line of a body is a record (JSON lines, raw lines); whole: each body is one."""
    max_body: Size = 16 << 20
    """How large a body may be, as sent and when inflated."""
    max_line: Annotated[int, Field(ge=1, le=2_000_000)] = 1_048_576
    """Bytes a line may have."""
    oversize: Literal["truncate", "split"] = "truncate"
    """What happens to a longer line; either way it is counted."""
    tls: ListenerTls | None = None
    """Certificates; with it the port speaks HTTPS. `{}` for one by Northbound's own CA."""

    @property
    def port_key(self) -> tuple[str, str]:
        """What it cannot share with a listener."""
        return ("stream", self.listen)

    @model_validator(mode="after")
    def _one_token(self) -> "HttpConnector":
        if self.token_file is not None and self.token_env is not None:
            raise ValueError("token_file and token_env exclude each other; keep one")
        return self


Connector: TypeAlias = Annotated[FileConnector | HttpConnector, Field(discriminator="type")]
"""One line for each kind; app/ingest/connectors/registry.py has its code."""
