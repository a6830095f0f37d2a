"""Whose time a rule goes by: the raw topics of the tenant's sources that it is for, no others."""

from collections.abc import Collection, Iterable, Mapping

from topology.rules import Correlation, LogSource, Rules
from topology.topics import Names


class Waits:
    """Raw topics that the windows of a tenant's rules wait for."""

    def __init__(
        self,
        rules: Rules,
        names: Names,
        tenants: Mapping[str, Collection[str]],
        sources: Mapping[str, LogSource | None],
    ) -> None:
        self._rules = rules
        self._names = names
        self._tenants = tenants
        self._sources = sources
        self._found: dict[tuple[str, str | None], tuple[str, ...]] = {}

    def topics(self, tenant: str, correlation: Correlation | None = None) -> tuple[str, ...]:
        """For a correlation, the sources whose events its rules meet; else all of the tenant's."""
        at = tenant, None if correlation is None else correlation.rule.id
        found = self._found.get(at)
        if found is None:
            wanted = [
                name for name in sorted(self._tenants[tenant]) if self._meets(correlation, name)
            ]
            found = self._found[at] = tuple(self._names.raw(name) for name in wanted)
        return found

    def sources(self, topics: Iterable[str]) -> list[str]:
        """The sources of raw topics."""
        before = len(self._names.raw(""))
        return [topic[before:] for topic in topics]

    def _meets(self, correlation: Correlation | None, source: str) -> bool:
        events = self._sources.get(source)
        if correlation is None or events is None:
            return True
        rules = [self._rules.events[member] for member in correlation.members]
        return any(rule.logsource.covers(events) for rule in rules)
