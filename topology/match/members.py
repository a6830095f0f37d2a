"""What correlations refer to: rules by id or name, their fields, and whether they alert.

A tenant's correlation refers to its own rules and to those of all; one of all to none of a tenant.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sigma.rule import SigmaRule

from topology.match.fieldmap import FieldMap, find_map, given
from topology.rules import Correlation, EventRule, Fields, Rules

NAME_IT: Final = "name the file that has it, too, or let `rules` of northbound.yaml name it"
"""What there is to do about a rule that is not loaded."""


class Members:
    """The rules that correlations refer to, by id or name, and whether they alert."""

    def __init__(
        self,
        parsed: Sequence[SigmaRule],
        compiled: Sequence[EventRule],
        field_maps: Sequence[FieldMap],
    ) -> None:
        self._compiled = list(compiled)
        self._maps = [find_map(field_maps, rule.logsource) for rule in compiled]
        self._names: dict[str, int] = {}
        for index, rule in enumerate(parsed):
            for name in (rule.name, str(rule.id) if rule.id else None):
                if name:
                    self._names[name] = index
        self._all: list[Correlation] = []
        self._correlations: dict[str, Correlation] = {}
        self._generate: dict[int | str, bool] = {}
        self._tenant: str | None = None

    def seen_by(self, tenant: str | None) -> "Members":
        """The same rules as a correlation of this tenant may refer to them; None: one of all."""
        seen = copy.copy(self)
        seen._tenant = tenant  # noqa: SLF001  # a copy of this one
        return seen

    def add(self, correlation: Correlation, *names: str | None) -> None:
        """A correlation that others may refer to by these names."""
        self._all.append(correlation)
        self._correlations |= {name: correlation for name in names if name}

    def correlation(self, reference: str) -> Correlation | None:
        """The correlation with this id or name, if it was compiled."""
        found = self._correlations.get(reference, self._correlations.get(reference.lower()))
        return found if found is not None and self._sees(found) else None

    def index(self, reference: str) -> int | None:
        """Index of the event rule with this id or name."""
        found = self._names.get(reference, self._names.get(reference.lower()))
        return found if found is not None and self._sees(self._compiled[found]) else None

    def _sees(self, entry: EventRule | Correlation) -> bool:
        return entry.rule.tenant in (None, self._tenant)

    def name(self, index: int) -> str | None:
        """Name of an event rule."""
        return self._compiled[index].rule.name

    def id(self, index: int) -> str:
        """Id of an event rule."""
        return self._compiled[index].rule.id

    def columns(self, index: int) -> Callable[[str], tuple[str, ...]]:
        """How the rule's fields map to event columns."""
        fields = self._maps[index]
        return fields.columns if fields else given

    def shown(self, index: int) -> Fields:
        """What alerts show of an event rule's events."""
        return self._compiled[index].shown

    def refer(self, members: Sequence[int | str], *, generate: bool) -> None:
        """Note a correlation over event rules (indexes) and correlations (ids): they alert on their
        own only if one says `generate`. What a tenant's correlation counts alerts for all as before
        if it is a rule of all."""
        owners = {entry.rule.id: entry.rule.tenant for entry in self._all}
        for member in members:
            own = self._compiled[member].rule.tenant if isinstance(member, int) else owners[member]
            if own != self._tenant:
                continue
            self._generate[member] = self._generate.get(member, False) or generate

    def finished(self) -> Rules:
        """All rules, with what correlations decided about their alerts."""
        alerts = self._generate.get
        return Rules(
            tuple(
                replace(rule, alerts=alerts(index, True))
                for index, rule in enumerate(self._compiled)
            ),
            tuple(replace(entry, alerts=alerts(entry.rule.id, True)) for entry in self._all),
        )
