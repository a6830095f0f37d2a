"""Whose time a rule goes by: the raw topics of the tenant's sources that it is for, no others."""

from collections.abc import Collection, Iterable, Mapping

from topology.chained import rule_of, topic_of
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
        self._correlations = {entry.rule.id: entry for entry in rules.correlations}
        self._found: dict[tuple[str, str | None], tuple[str, ...]] = {}

    def topics(self, tenant: str, correlation: Correlation | None = None) -> tuple[str, ...]:
        """For a correlation, the sources whose events its rules meet, and what stands for the
        alerts that it counts; else all of the tenant's."""
        at = tenant, None if correlation is None else correlation.rule.id
        found = self._found.get(at)
        if found is None:
            wanted = [
                name for name in sorted(self._tenants[tenant]) if self._meets(correlation, name)
            ]
            counted = [] if correlation is None else [e.rule for e in correlation.chained]
            found = self._found[at] = (
                *(self._names.raw(name) for name in wanted),
                *(topic_of(tenant, rule) for rule in counted),
            )
        return found

    def sources(self, topics: Iterable[str]) -> list[str]:
        """The sources of raw topics, and those behind the alerts that are counted."""
        before = len(self._names.raw(""))
        found: dict[str, None] = {}
        for topic in topics:
            if (counted := rule_of(topic)) is None:
                found[topic[before:]] = None
            else:
                tenant, rule = counted
                behind = self.topics(tenant, self._correlations[rule])
                found |= dict.fromkeys(self.sources(behind))
        return sorted(found)

    def _meets(self, correlation: Correlation | None, source: str) -> bool:
        events = self._sources.get(source)
        if correlation is None or events is None:
            return True
        rules = [self._rules.events[member] for member in correlation.members]
        return any(rule.logsource.covers(events) for rule in rules)
