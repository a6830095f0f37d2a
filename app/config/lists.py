"""What northbound.yaml says of active lists."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.config.connection import Strict, Unfit
from app.config.fields import Time, source_name
from topology.levels import Level
from topology.lists import ActiveList, OnAlert


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("expected each part of the key once")
    return names


class AlertChange(Strict):
    """What final alerts do to the list, of all rules that meet everything which is said here
    (docs/lists.md#from-alerts)."""

    do: Literal["add", "remove"] = "add"
    """Whether the key of the alert is in the list from then on, or is not any more."""
    key: Annotated[list[str], Field(min_length=1, max_length=8)] | None = None
    """For each part of the list's key, the event attribute, or what the rules call the field;
    without it, the parts' own names. Alerts of correlations have the fields of their group-by."""
    values: list[str] = Field(default_factory=list)
    """Attributes or fields that an entry keeps."""
    ttl: Time | None = None
    """How long an entry stays, if not as long as the list says."""
    rules: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids or names of rules; without it, all."""
    without: list[str] = Field(default_factory=list)
    """Ids or names of rules that it is not for."""
    tags: Annotated[list[str], Field(min_length=1)] | None = None
    """Tags of rules, such as attack.t1110, one of which a rule has to have."""
    severity: Level = "informational"
    """The least severity."""

    def unfit(self) -> Iterator[Unfit]:
        """What only an entry that is added can have."""
        if self.do == "remove" and (self.ttl is not None or self.values):
            yield "ttl and values go with do: add; remove them", ("do",)


ListName = Annotated[str, AfterValidator(source_name)]


class ListSettings(Strict):
    """An active list, which rules fill and ask (docs/lists.md)."""

    key: Annotated[list[str], Field(min_length=1, max_length=8), AfterValidator(_once)]
    """What the parts of its key are called. Rules take the fields of these names, unless they name
    others."""
    ttl: Time | None = None
    """How long an entry stays where the rule that adds it does not say. Unless given, until it is
    removed."""
    shared: bool = False
    """Whether all tenants have one list together, and not each one of its own."""
    alerts: list[AlertChange] = Field(default_factory=list)
    """What alerts do to it, whatever their rules say."""

    def unfit(self) -> Iterator[Unfit]:
        """Keys of alerts that have not as many parts as that of the list."""
        for number, each in enumerate(self.alerts):
            if each.key is not None and len(each.key) != len(self.key):
                text = f"expected a field for each of {', '.join(self.key)}"
                yield f"{text}; see alerts[{number}].key", ("alerts", "key")

    def active_list(self, name: str) -> ActiveList:
        """The list as rules know it."""
        alerts = tuple(
            OnAlert(
                each.do,
                tuple(each.key or self.key),
                tuple(each.values),
                (self.ttl if each.ttl is None else each.ttl) if each.do == "add" else None,
                None if each.rules is None else tuple(each.rules),
                tuple(each.without),
                None if each.tags is None else tuple(map(str.lower, each.tags)),
                each.severity,
            )
            for each in self.alerts
        )
        return ActiveList(name, tuple(self.key), self.ttl, self.shared, alerts)
