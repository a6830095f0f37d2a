"""Whose time a rule goes by: the raw topics of the tenant's sources that it is for, no others."""

from collections.abc import Collection, Iterable, Mapping

from topology.chained import rule_of, topic_of
from topology.lists import LIST, SHARED, ActiveList, Step, before
from topology.rules import Correlation, EventRule, LogSource, Rules
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
        self._of_lists: dict[tuple[str, str], tuple[str, ...]] = {}
        self._behind: dict[str, frozenset[str]] = {}

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
                *dict.fromkeys(
                    self.list_topic(tenant, step.list) for step in self._last_tests(correlation)
                ),
            )
        return found

    def list_topic(self, tenant: str, listed: ActiveList) -> str:
        """What stands for a topic of what a list lets pass."""
        return topic_of(listed.scope(tenant), LIST + listed.name)

    def of_list(self, scope: str, listed: ActiveList) -> tuple[str, ...]:
        """What the list of a tenant waits for, or that of all: sources whose events may change or
        test it, correlations whose alerts do, and lists that are asked before it."""
        at = scope, listed.name
        found = self._of_lists.get(at)
        if found is None:
            tenants = sorted(self._tenants) if scope == SHARED else [scope]
            wanted = {topic for tenant in tenants for topic in self._of_list(tenant, listed)}
            if not wanted:  # only operators change it
                wanted = {topic for tenant in tenants for topic in self.topics(tenant)}
            found = self._of_lists[at] = tuple(sorted(wanted))
        return found

    def lists_waited_for(self) -> set[str]:
        """Names of the lists that correlations or other lists wait for."""
        found = {
            step.list.name for each in self._rules.correlations for step in self._last_tests(each)
        }
        for steps in self._rules.steps.values():
            for number, step in enumerate(steps):
                test = before(steps, number)
                if test is not None and (step.tests or not step.same_entry(test)):
                    found.add(test.list.name)
        return found

    def _of_list(self, tenant: str, listed: ActiveList) -> Iterable[str]:
        for entry in self._rules.events:
            steps = self._rules.steps.get(entry.rule.id, ())
            for number, step in enumerate(steps):
                if step.list.name != listed.name or not entry.rule.serves(tenant):
                    continue
                test = before(steps, number)
                if test is None:
                    yield from map(self._names.raw, self._sources_of(tenant, entry))
                elif step.tests or not step.same_entry(test):
                    yield self.list_topic(tenant, test.list)
        for correlation in self._rules.correlations:
            steps = self._rules.steps.get(correlation.rule.id, ())
            for number, step in enumerate(steps):
                if step.list.name != listed.name or not correlation.rule.serves(tenant):
                    continue
                test = before(steps, number)
                if test is None:
                    yield topic_of(tenant, correlation.rule.id)
                elif step.tests or not step.same_entry(test):
                    yield self.list_topic(tenant, test.list)

    def _sources_of(self, tenant: str, entry: EventRule) -> Iterable[str]:
        for name in sorted(self._tenants[tenant]):
            events = self._sources.get(name)
            if events is None or entry.logsource.covers(events):
                yield name

    def _last_tests(self, correlation: Correlation | None) -> Iterable[Step]:
        """Of each rule that a correlation is over, the test that its events pass last; of each
        whose alerts it counts, the one that those do."""
        if correlation is None:
            return
        names = [self._rules.events[member].rule.id for member in correlation.members]
        for name in (*names, *(each.rule for each in correlation.chained)):
            steps = self._rules.steps.get(name, ())
            test = before(steps, len(steps))
            if test is not None:
                yield test

    def behind(self, topic: str) -> frozenset[str]:
        """The raw topics of the events that decide what something stands for."""
        found = self._behind.get(topic)
        if found is None:
            self._behind[topic] = frozenset()
            raw: set[str] = set()
            for each in self._standing_for(topic):
                raw |= {each} if rule_of(each) is None else self.behind(each)
            found = self._behind[topic] = frozenset(raw)
        return found

    def _standing_for(self, topic: str) -> tuple[str, ...]:
        """What something waits for itself; nothing, where rules have changed since."""
        tenant, name = rule_of(topic) or ("", "")
        if tenant != SHARED and tenant not in self._tenants:
            return ()
        if name.startswith(LIST):
            listed = next((each for each in self._rules.lists if LIST + each.name == name), None)
            return () if listed is None else self.of_list(tenant, listed)
        correlation = self._correlations.get(name)
        return () if correlation is None else self.topics(tenant, correlation)

    def sources(self, topics: Iterable[str]) -> list[str]:
        """The sources of raw topics, and those behind the alerts that are counted."""
        before = len(self._names.raw(""))
        found: dict[str, None] = {}
        for topic in topics:
            if (counted := rule_of(topic)) is None:
                found[topic[before:]] = None
            elif not counted[1].startswith(LIST):
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
