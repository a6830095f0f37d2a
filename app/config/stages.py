"""What northbound.yaml says of a source's stages between normalize and match."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from app.config.connection import Strict, Unfit
from app.config.fields import Name, Positive, Time


class Replace(Strict):
    """Exchange every occurrence of a text, or of what a pattern matches."""

    text: str | None = None
    """What is exchanged, as it is written."""
    pattern: str | None = None
    """Or a regular expression in RE2's syntax."""
    with_: str = Field(alias="with")
    """What stands there instead; for a pattern `$1` is its first group."""

    def unfit(self) -> Iterator[Unfit]:
        """Both, or none."""
        if (self.text is None) == (self.pattern is None):
            yield "expected either text or pattern", ("text", "pattern")


class Substring(Strict):
    """A part of a text, in characters."""

    start: int = 0
    """First character, from 0; negative: from the end."""
    length: Annotated[int, Field(ge=0)] | None = None
    """How many; without it, all that follow."""


class Split(Strict):
    """Cut a text at a separator."""

    by: Annotated[str, Field(min_length=1)]
    """The separator."""
    take: int | None = None
    """Which part, from 0, or from the end if negative; without it, the list of all."""


class Operations(Strict):
    """What is done to a text: the names and the order of topology/operations.py."""

    lower: Literal[True] | None = None
    """Lower case."""
    upper: Literal[True] | None = None
    """Upper case."""
    trim: Literal[True] | str | None = None
    """Without blanks at both ends, or without these characters."""
    append: str | None = None
    """With this text behind it."""
    prepend: str | None = None
    """With this text before it."""
    substring: Substring | None = None
    """A part of it."""
    regexp: str | None = None
    """The first group, or all, of what this regular expression (RE2) finds in it."""
    replace: Replace | None = None
    """With something exchanged."""
    split: Split | None = None
    """Cut at a separator."""
    cast: Literal["integer", "number", "boolean", "text"] | None = None
    """As another type."""
    parse_time: str | Annotated[list[str], Field(min_length=1)] | None = None
    """As milliseconds since the epoch: iso8601, epoch (seconds or milliseconds) or a strftime
    format, or the first of several that fits. A time without a zone is one of the source's
    `timezone`."""

    @property
    def operations(self) -> list[tuple[str, Any]]:
        """Names and settings of those that are given."""
        found = []
        for name in Operations.model_fields:
            setting = getattr(self, name)
            if isinstance(setting, Strict):
                setting = setting.model_dump(by_alias=True, exclude_none=True)
            if setting is not None:
                found.append((name, setting))
        return found


class Mutation(Operations):
    """Make one attribute of another. `field` and one operation; `to` where it is another's."""

    field: str
    """Attribute that is read, such as actor.user.name."""
    to: str | None = None
    """Attribute that is written; without it, the same."""

    def unfit(self) -> Iterator[Unfit]:
        """Several operations, or none."""
        if len(self.operations) != 1:
            seen = " and ".join(name for name, _ in self.operations) or "none"
            known = ", ".join(Operations.model_fields)
            yield f"saw {seen}, expected exactly one of {known}", tuple(Operations.model_fields)


class Filter(Strict):
    """Keep or drop events by a condition. Either `keep` or `drop`."""

    name: Name
    """Identifies it in counters."""
    drop: dict[str, Any] | None = None
    """Drops what matches: a `detection` section as of a Sigma rule, over event attributes. With one
    thing named in it, `condition` may be left out."""
    keep: dict[str, Any] | None = None
    """Drops what does not match: the same."""

    def unfit(self) -> Iterator[Unfit]:
        """Both, or none."""
        if (self.drop is None) == (self.keep is None):
            yield "expected either keep or drop", ("keep", "drop")

    @property
    def action(self) -> Literal["keep", "drop"]:
        """Which of the two it is."""
        return "drop" if self.drop is not None else "keep"

    @property
    def detection(self) -> dict[str, Any]:
        """What is matched."""
        return self.drop or self.keep or {}


class Aggregation(Strict):
    """Make similar events one: those of one type, with equal attributes, in one window."""

    name: Name
    """Identifies it in state and counters; renaming begins new windows."""
    when: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    """Which events: a `detection` section as of a Sigma rule; without it, all."""
    by: Annotated[list[str], Field(min_length=1)]
    """Attributes that similar events have in common; absent equals absent."""
    window: Time
    """Length of a window of event time, aligned to the epoch."""
    keep: list[str] | None = None
    """What else the aggregated event has of the first one, attributes or objects such as file;
    without it, everything."""
    limit: Positive | None = None
    """At most so many events in one; the next one begins another."""
    originals: bool = False
    """true: the events go on as well."""
