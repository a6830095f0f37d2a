"""`sources` of northbound.yaml: feeds of raw lines."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.config.connection import Strict, Unfit
from app.config.fields import UNITS_MS, Duration, Positive, Time, zone
from app.config.stages import Aggregation, Filter, Mutation


class Source(Strict):
    """A feed of raw lines: how they are read and how long they are kept."""

    stand_in = MappingProxyType({"format": "plain"})
    format: str | None = None
    """Format of its lines, such as auto, qumulo, rfc5424 or cef (docs/formats.md has all)."""
    normalizer: Path | None = None
    """Instead of a format: file of a normalizer of one's own (docs/normalizers.md)."""
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"
    """Zone of time stamps that name none, as those of rfc3164: an IANA name."""
    partitions: Positive = 4
    """Partitions of its raw topic."""
    retention: Time = 7 * UNITS_MS["d"]
    """How long raw lines are kept."""
    key: Literal["peer", "spread"] = "peer"
    """peer: a sender stays in one partition, in order; spread: evenly, for lines behind a relay."""
    timestamps: Literal["sender", "broker"] = "sender"
    """Time stamps of its raw records: sender: what wrote them gives them, the ingest agent that of
    reception; broker: that at which Kafka took them. An event time counts up to its record's time
    stamp, so broker is for raw topics that others write, whose clocks nobody vouches for."""
    lateness: Duration = 30 * UNITS_MS["s"]
    """How far an event may be behind its partition and still count for alerts."""
    tick: Time = 5 * UNITS_MS["s"]
    """A partition that is quiet for so long gets a tick, so that its windows close."""
    silent_after: Time = 15 * UNITS_MS["m"]
    """A source that was heard before and is silent for so long is reported (`ingest.monitor`)."""
    low_rate: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """A source that sends less than this share of what is usual at the hour, over five minutes, is
    reported, too; 0: never."""
    alert_on: list[Literal["silent", "low"]] = Field(default_factory=list)
    """Which of these reports the rules in rules/northbound make alerts."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the format."""
    mutate: list[Mutation] = Field(default_factory=list)
    """What is made of its events' attributes, in order, before filters see them."""
    filters: list[Filter] = Field(default_factory=list)
    """Which of its events go on. What they drop stays in the raw topic and is counted."""
    aggregate: list[Aggregation] | None = None
    """Which of its events become one with a count; an event belongs to the first that wants it.
    Before it is taken out, leave it empty (`[]`) until the windows that are open have ended."""

    def unfit(self) -> Iterator[Unfit]:
        """Both ways to read lines, or none."""
        if (self.format is None) == (self.normalizer is None):
            yield "expected either format or normalizer", ("format", "normalizer")
