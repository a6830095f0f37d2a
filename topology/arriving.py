"""What matches and tallies do to the state of a partition of `matches` when they come."""

from collections.abc import Collection, Mapping, Sequence

from schemas import packed
from topology import findings
from topology.active_lists import ActiveLists, is_list
from topology.correlate import chunks
from topology.costs import costs
from topology.keys import group_of, named_by
from topology.lists import LIST
from topology.outbox import Outbox
from topology.partial_batch import PartialBatch, read
from topology.partition_state import PartitionState
from topology.records import Batch, StoreError
from topology.rules import Rules, Tumbling
from topology.settling import Settling
from topology.waits import Waits

REMEMBERED = 65_536
"""Groups of aggregates whose tallies are read without looking at their names again."""


class Arriving:
    """For a set of rules. `asking`: ids of rules whose alerts ask lists first."""

    def __init__(
        self,
        rules: Rules,
        aggregates: Sequence[Tumbling],
        tenants: Mapping[str, Collection[str]],
        waits: Waits,
        settling: Settling,
        lists: ActiveLists | None,
        asking: Collection[str],
    ) -> None:
        self._correlations = {entry.rule.id: entry for entry in rules.correlations}
        self._events = {entry.rule.id: entry for entry in rules.events}
        self._aggregates = {entry.name: entry for entry in aggregates}
        self._tenants = tenants
        self._waits = waits
        self._settling = settling
        self._lists = lists
        self._asking = asking
        self._tallied: dict[bytes, tuple[Tumbling, tuple[str, ...], int]] = {}

    def title(self, key: bytes) -> tuple[str, str]:
        """Id and title of the rule that a match is for."""
        name = named_by(key)
        if name.startswith(LIST):
            return f"list {name[len(LIST) :]}", "Active list"
        entry = self._correlations.get(name) or self._events.get(name)
        return (name, entry.rule.title) if entry is not None else ("unknown", "")

    def partial_batch(
        self, state: PartitionState, batch: Batch, row: int, room: int, work: Outbox
    ) -> None:
        """Add the groups of a PartialBatch. `room`: how many may be kept as they came.

        Raises StoreError, and ValueError or IndexError for what is none.
        """
        with costs().stage("correlate", "columns"):
            found = read(batch.values[row] or b"")
            if found.rule.startswith(LIST):
                self._list_batch(state, batch, row, found, work)
                return
            if not self._known(found.tenant, found.rule):
                work.counts["matches_of_unknown_rule"] += int(found.counts.sum())
                return
            keys = found.keys()
            left = state.kept.take(found, keys, (state.groups, state.quiet), room)
        with costs().rule_pass("correlate", "groups", len(left)) as worked:
            for place in left:
                key, members = keys[place], found.members(place)
                try:
                    self._matches(state, key, members, work)
                except StoreError:
                    raise
                except Exception as error:
                    work.refuse(batch, row, error, (place, key, found.alone(place)))
            if worked is not None and left:
                worked(self.title(keys[0]))

    def _list_batch(
        self, state: PartitionState, batch: Batch, row: int, found: PartialBatch, work: Outbox
    ) -> None:
        keys = found.keys()
        left: Sequence[int] = range(len(keys))
        if self._lists is not None and state.lists is not None:
            left = self._lists.take_many(state.lists, found, keys)
        for place in left:
            key = keys[place]
            try:
                self._list(state, key, found.members(place), work)
            except StoreError:
                raise
            except Exception as error:
                work.refuse(batch, row, error, (place, key, found.alone(place)))

    def _list(
        self, state: PartitionState, key: bytes, members: tuple[bytes, bytes, bytes], work: Outbox
    ) -> None:
        if self._lists is None or state.lists is None:
            work.counts["matches_of_unknown_rule"] += len(members[0]) // chunks.TIME.size
            return
        self._lists.take(state.lists, key, members, work)

    def partial(self, state: PartitionState, key: bytes, value: bytes, work: Outbox) -> None:
        """Add the matches of a Partial to their group, or change a list, or alert."""
        if self._lists is not None and is_list(key):
            self._list(state, key, packed.read_matches(value), work)
        elif not self._matches(state, key, packed.read_matches(value), work):
            self._single(packed.read_partial(value), work)

    def _matches(
        self, state: PartitionState, key: bytes, members: tuple[bytes, bytes, bytes], work: Outbox
    ) -> bool:
        """Add matches (times, uids, values) to a group; False when no correlation is asked for."""
        state.kept.move(key)
        if state.quiet.take(key, members):
            return True
        live = state.groups.get(key)
        if live is None:
            if not state.quiet.wake(key) and state.quiet.open(key, members):
                return True
            tenant, rule, _ = group_of(key)
            if not self._known(tenant, rule):
                return False
            correlation = self._correlations[rule]
            live = self._settling.open(state, key, correlation, tenant)
        times, uids, values = members
        matches = chunks.unpack(times, uids, values)
        watermark = state.progress.reached(live.topics)
        if matches[0][0] < watermark:
            kept = [match for match in matches if match[0] >= watermark]
            work.counts["matches_after_close"] += len(matches) - len(kept)
            if not kept:
                if live.queued is None:  # made for these alone; nothing would ever remove it
                    del state.groups[key]
                return True
            matches, piece = kept, chunks.pack(kept)
        else:
            piece = chunks.piece(times, uids, values)
        said = live.group.add(matches, piece, watermark)
        state.changed[key] = live.group
        tells = live.correlation.alerts and live.correlation.rule.id not in self._asking
        for episode in said if tells else ():
            sources = self._waits.sources(live.topics)
            work.say(findings.of_episode(key, live.correlation, episode, sources, final=False))
        if said or live.queued is None or not live.correlation.patient:
            self._settling.queue(state, key, live)
        return True

    def _known(self, tenant: str, rule: str) -> bool:
        """Whether a correlation of this id counts for a tenant."""
        entry = self._correlations.get(rule)
        return entry is not None and tenant in self._tenants and entry.rule.serves(tenant)

    def _single(self, partial: packed.Partial, work: Outbox) -> None:
        rule = self._events.get(partial.rule)
        if (
            rule is None
            or partial.tenant not in self._tenants
            or not rule.rule.serves(partial.tenant)
        ):
            work.counts["matches_of_unknown_rule"] += len(partial.times) // 8
            return
        for alert in findings.of_events(partial, rule):
            work.say(alert)

    def tally(self, state: PartitionState, key: bytes, value: bytes, work: Outbox) -> None:
        """Add the counts of a Tally to their windows."""
        known = self._tallied.get(key)
        if known is None:
            tenant, name, _, offset = packed.read_head(value)
            aggregate = self._aggregates.get(name)
            if aggregate is None or tenant not in self._tenants:
                work.counts["matches_of_unknown_rule"] += 1
                return
            known = aggregate, self._waits.topics(tenant), offset
            if len(self._tallied) >= REMEMBERED:
                self._tallied.clear()
            self._tallied[key] = known
        aggregate, topics, offset = known
        (windows,) = packed.read_members(value, offset, 1)
        watermark = state.progress.reached(topics)
        for start, reached in state.windows.add(key, windows, aggregate, topics, watermark):
            if reached:
                work.say(findings.of_window(key, aggregate, start, self._waits.sources(topics)))
            else:
                work.counts["matches_after_close"] += 1
