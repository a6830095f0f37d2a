"""Groups of correlations in event time: in memory when something needs them, settled when due.

What a watermark brings of a group is told to its tenant, to the rules that count its alerts, and to
the lists that those change or that are asked about them.
"""

from collections.abc import Collection, Mapping, Sequence
from heapq import heappop, heappush

from topology import findings
from topology.active_lists import ActiveLists
from topology.chained import Chains
from topology.correlate.group import Group, Settled
from topology.keys import group_of
from topology.outbox import Outbox
from topology.partition_state import Live, PartitionState
from topology.rules import Correlation
from topology.waits import Waits

WAKE = 65_536
"""Groups that a watermark wakes at once."""


class Settling:
    """For the correlations of now, by id. `asking`: ids of those whose alerts lists are asked
    about."""

    def __init__(
        self,
        correlations: Mapping[str, Correlation],
        waits: Waits,
        chains: Chains,
        lists: ActiveLists | None,
        asking: Collection[str],
    ) -> None:
        self._correlations = correlations
        self._waits = waits
        self._chains = chains
        self._lists = lists
        self._asking = asking

    def open(
        self, state: PartitionState, key: bytes, correlation: Correlation, tenant: str
    ) -> Live:
        """A group in memory with what the store has of it; it is queued if that is anything."""
        topics = self._waits.topics(tenant, correlation)
        live = Live(Group(state.store, key, correlation), correlation, topics)
        state.groups[key] = live
        if live.group.recall(state.asleep.numbers(key)):
            self.queue(state, key, live)
        return live

    def advance(
        self, state: PartitionState, topics: tuple[str, ...], watermark: int, work: Outbox
    ) -> None:
        """Settle what is due, some of which has to be woken first."""
        while woken := state.asleep.due(topics, watermark, WAKE):
            for key in woken:
                self._wake(state, key)
            self._settle(state, topics, watermark, work)
        self._settle(state, topics, watermark, work)

    def queue(self, state: PartitionState, key: bytes, live: Live) -> None:
        """See to it that a group is looked at when it is due."""
        due = live.group.due()
        if live.queued is None or due < live.queued:
            live.queued = due
            heappush(state.due.setdefault(live.topics, []), (due, key))

    def _wake(self, state: PartitionState, key: bytes) -> None:
        if key in state.groups or key in state.quiet:
            return
        tenant, name, _ = group_of(key)
        live = self.open(state, key, self._correlations[name], tenant)
        if live.queued is None:
            del state.groups[key]  # it has ended meanwhile

    def _settle(
        self, state: PartitionState, topics: tuple[str, ...], watermark: int, work: Outbox
    ) -> None:
        """Settle the groups that are due, and forget those that have nothing left."""
        queue = state.due.get(topics, [])
        sources = self._waits.sources(topics)
        while queue and queue[0][0] < watermark:
            due, key = heappop(queue)
            live = state.groups.get(key)
            if live is None or live.queued != due:
                continue
            live.queued = None
            if live.group.due() < watermark:
                self._say(key, live.correlation, live.group.settle(watermark), sources, work)
                if live.group.idle(watermark):
                    live.group.remove()
                    del state.groups[key]
                    state.changed.pop(key, None)
                    continue
                state.changed[key] = live.group
            self.queue(state, key, live)

    def _say(
        self,
        key: bytes,
        correlation: Correlation,
        settled: Settled,
        sources: Sequence[str],
        work: Outbox,
    ) -> None:
        """Tell the tenant and the rules that count alerts what a watermark brought; where lists are
        asked about the alerts, those are asked and nothing is told before."""
        # Else it was counted before the rule became this one: it has not what others ask for.
        whole = len(group_of(key)[2]) == len(correlation.group_by)
        if whole and self._lists is not None and correlation.rule.id in self._asking:
            for episode in settled.finals:
                work.feed([self._lists.ask(key, correlation, episode, sources, self._chains)])
            return
        for episode in settled.finals if whole else ():
            work.feed(self._chains.records(key, episode))
            if self._lists is not None:
                work.feed(self._lists.of_alert(key, correlation, episode))
        if not correlation.alerts:
            return
        for episode in settled.finals:
            work.say(findings.of_episode(key, correlation, episode, sources, final=True))
        for said, instead in settled.superseded:
            work.say(findings.of_fallen(key, correlation, said, instead))
        for episode in settled.provisional:
            work.say(findings.of_episode(key, correlation, episode, sources, final=False))
