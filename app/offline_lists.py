"""Active lists over a file of events: everything is known before anything is judged.

Lists and correlations are judged one after the other, those first that others wait for.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import polars as pl

from schemas.packed import read_matches
from topology.active_lists import ActiveLists, is_list
from topology.chained import Chains, rule_of
from topology.correlate.chunks import unpack
from topology.correlate.episodes import Episode, Match
from topology.correlate.list_key import judge, loaded
from topology.keys import group_of
from topology.list_records import Listing
from topology.lists import LIST, SHARED, ActiveList, tests
from topology.rules import Alert, Correlation, Hits, Rules
from topology.topics import Names
from topology.waits import Waits

TENANT = "match"
NEVER = -(2**63)


class OfflineLists:
    """`take` hits, then ask for what `order` says. Groups of correlations are the caller's."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._listing = Listing(rules)
        self._waits = Waits(rules, Names(), {TENANT: {TENANT}}, {TENANT: None})
        self._lists = ActiveLists(rules, [TENANT], self._waits)
        self._waiting: dict[str, dict[bytes, list[Match]]] = {each.name: {} for each in rules.lists}
        self.counts: Counter[str] = Counter()
        self._said: list[Alert] = []
        self._fed: list[tuple[tuple[str, ...], str, list[Match]]] = []

    @property
    def members(self) -> frozenset[int]:
        """Indexes of the rules on single events that have steps."""
        return self._listing.members

    def direct(self, hits: Hits) -> Hits:
        """The hits that are matches as they are."""
        return self._listing.direct(hits)

    def take(self, events: pl.DataFrame, hits: Hits) -> None:
        """Hits of events with `time` and `metadata.uid`."""
        marks = np.full(events.height, NEVER)
        found = self._listing.records(
            events, hits, tenants=[TENANT], source=TENANT, watermarks=marks
        )
        self.feed(zip(found.keys, found.values, strict=True))

    def order(self) -> list[Correlation | ActiveList]:
        """Correlations and lists; none comes before what it waits for."""
        names = {each.rule.id: each for each in self._rules.correlations}
        lists = {LIST + each.name: each for each in self._rules.lists}
        found: dict[str, Correlation | ActiveList] = {}

        def visit(name: str) -> None:
            if name in found or (name not in names and name not in lists):
                return
            if name in lists:
                scope = SHARED if lists[name].shared else TENANT
                topics = self._waits.of_list(scope, lists[name])
            else:
                topics = self._waits.topics(TENANT, names[name])
            for topic in topics:
                behind = rule_of(topic)
                if behind is not None:
                    visit(behind[1])
            found[name] = lists.get(name) or names[name]

        for name in (*names, *lists):
            visit(name)
        return list(found.values())

    def judge(
        self, listed: ActiveList
    ) -> tuple[list[Alert], list[tuple[tuple[str, ...], str, list[Match]]]]:
        """Alerts of what a list let pass, and group, rule and matches for correlations."""
        for key, waiting in self._waiting[listed.name].items():
            _, passed = judge(None, loaded(sorted(waiting)), self._lists.own)
            for each in passed:
                self._lists.go_on(key, each, self)
        said, fed = self._said, self._fed
        self._said, self._fed = [], []
        return said, fed

    def alerted(
        self, key: bytes, correlation: Correlation, episode: Episode, chains: Chains
    ) -> bool:
        """A correlation's alert does its steps; whether lists are asked about it first."""
        if not tests(self._rules.steps.get(correlation.rule.id, ())):
            self.feed(self._lists.of_alert(key, correlation, episode))
            return False
        self.feed([self._lists.ask(key, correlation, episode, (), chains)])
        return True

    def say(self, alert: Alert) -> None:
        """As an outbox."""
        self._said.append(alert)

    def feed(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """As an outbox."""
        for key, value in records:
            matches = unpack(*read_matches(value))
            _, name, group = group_of(key)
            if is_list(key):
                self._waiting[name.removeprefix(LIST)].setdefault(key, []).extend(matches)
            else:
                self._fed.append((group, name, matches))
