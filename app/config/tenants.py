"""`tenants` of northbound.yaml, and files of tenants.d: who receives what."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.config.connection import UNREADABLE, Strict, Unfit
from app.config.deliveries import feed_format
from app.config.fields import Bytes, Positive, Time
from app.config.stages import Filter


class Fields(Strict):
    """Which attributes events have: names (`file.path`), or objects (`actor.user.*`). Either `keep`
    or `leave_out`."""

    keep: Annotated[list[str], Field(min_length=1)] | None = None
    """Only these, and what OCSF requires."""
    leave_out: Annotated[list[str], Field(min_length=1)] | None = None
    """All but these; what OCSF requires stays."""

    def unfit(self) -> Iterator[Unfit]:
        """Both, or none."""
        if (self.keep is None) == (self.leave_out is None):
            yield "expected either keep or leave_out", ("keep", "leave_out")

    @property
    def patterns(self) -> tuple[str, list[str]]:
        """Which of the two it is, and its patterns."""
        if self.keep is not None:
            return "keep", self.keep
        return "leave_out", self.leave_out or []


class Quota(Strict):
    """What a tenant's clients together may ask of each broker; Kafka slows down who asks for more.
    null: as much as there is."""

    bytes_per_second: Annotated[Bytes, Field(ge=1)] | None = 100_000_000
    """Bytes that it reads."""
    request_percent: Positive | None = 100
    """Time of the broker's threads, in percent of one."""


class Tenant(Strict):
    """Who receives what."""

    stand_in = MappingProxyType({"sources": [UNREADABLE]})
    sources: Annotated[list[str], Field(min_length=1)]
    """Sources whose events and alerts it receives."""
    feeds: list[Literal["events", "alerts"]] = Field(default=["events", "alerts"])
    """Which topics it has."""
    format: Annotated[str, AfterValidator(feed_format)] = "ocsf-json"
    """Format of its events and alerts: ocsf-json, indicator-json, ecs-json, cef, leef, rfc5424 or
    avro."""
    key: Literal["host", "user"] = "host"
    """What keys its events, and so keeps their order."""
    partitions: Positive = 4
    """Partitions of its events topic."""
    retention: Time | None = None
    """How long its events and alerts are kept. Unless given, as long as their topics or the brokers
    say; Kafka's default is 7d."""
    region: str | None = None
    """Whose brokers its bundle names first; without it, those of this deployment."""
    mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-256"
    """How its bundle logs in. The user has a password for either, so that it may use the other."""
    login: Literal["password", "certificate"] = "password"
    """certificate: it logs in by a client certificate that Northbound issues, on the listener
    `kafka.embedded.northbound.certificates` or `kafka.external.certificates`, and has no password
    (docs/tenants.md)."""
    main: bool = False
    """It may read the topics of all tenants, too, as these have them (docs/tenants.md)."""
    raw_data: bool = True
    """False: events leave out the original line."""
    quota: Quota = Quota()
    """What it may ask of the brokers."""
    rules: list[Path] = Field(default_factory=list)
    """Files or folders of Sigma rules for this tenant alone, beside those of all."""
    filters: list[Filter] = Field(default_factory=list)
    """Which events it receives of its sources. What they drop is counted for it; other tenants, and
    its own alerts, have it."""
    fields: Fields | None = None
    """Which attributes its events have; without it, all. Alerts are as they are."""
    mask: dict[str, Literal["hash", "drop"]] = Field(default_factory=dict)
    """Attributes, or `<object>.*`, that it may not read: hash (equal values stay equal) or drop, in
    events and alerts, wherever they are repeated (docs/outputs.md)."""
