"""Active lists in sub-topology 2: what rules add, remove and test, in the order of event time.

A list's key has its entry in the partition of `matches` that (tenant, list, key) belongs to, so a
test is a record that goes there. It waits for the watermark of all that may change the list; where
it is passed, the event goes on: to the next list, to the correlations that count it, as an alert.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop
from typing import Any, Final, Protocol

import orjson

from schemas import packed
from topology import findings, list_alerts
from topology.chained import Chains
from topology.correlate import chunks
from topology.correlate.episodes import Episode, Match
from topology.correlate.head import HEAD, LEAST
from topology.correlate.list_key import Content, Passed, read_times
from topology.following import Following
from topology.judging import Judging, end
from topology.kept_steps import KeptSteps
from topology.keys import SUFFIX, group_of, opened, rule_of
from topology.list_contents import change, placed, record_of, texts
from topology.lists import LIST, SHARED, Step, before, tests
from topology.outbox import Outbox
from topology.partial_batch import PartialBatch
from topology.partition_lists import PartitionLists
from topology.passing import Passing, owned
from topology.progress import Progress
from topology.records import KeyValueStore
from topology.rules import Alert, Correlation, EventRule, Rules, is_number
from topology.uid import unmarked
from topology.waits import Waits

STORE: Final = "lists"
MARK: Final = LIST.encode()
AWAKE: Final = 65_536
"""Keys in memory at most after a commit, of each partition; about 1 kB each."""
EDIT: Final = "edit:"
"""Begins the uid of what an operator changes, which is never too late."""


def is_list(key: bytes) -> bool:
    """Whether a key of `matches` is that of a list."""
    at = key.find(b"\0") + 1
    return key[at : at + 1] == MARK


class Work(Protocol):
    """Takes what a batch leads to (topology/outbox.py)."""

    counts: Counter[str]

    def say(self, alert: Alert) -> None:
        """Tell a tenant."""

    def feed(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Send keys and Partials back to `matches`."""


class ActiveLists:
    """The lists of a set of rules, for the tenants of a deployment."""

    def __init__(
        self,
        rules: Rules,
        tenants: Sequence[str],
        waits: Waits,
        following: Following | None = None,
    ) -> None:
        """`following`: where many keys may share a record."""
        self._following = following
        self._passing = None if following is None else Passing(rules)
        self._owned: dict[tuple[Any, ...], Sequence[tuple[int, Step]]] = {}
        self._changing = {
            steps[at].list.name
            for steps in rules.steps.values()
            for at in range(tests(steps))
            if owned(steps, at)
        }
        """Lists whose tests may change their entries."""
        self._lists = {each.name: each for each in rules.lists}
        self._rules = rules
        self._tenants = tenants
        self._waits = waits
        self._events = {entry.rule.id: entry for entry in rules.events}
        self._correlations = {entry.rule.id: entry for entry in rules.correlations}
        self._topics: dict[bytes, tuple[str, ...] | None] = {}
        self.counted = list(self._waited_for())
        """What stands for each list that others wait for, and the topics that it waits for."""

    # -- what comes ----------------------------------------------------------------------------

    def open(self, store: KeyValueStore, progress: Progress) -> PartitionLists:
        """Take over a partition; entries of lists and tenants that are gone are deleted.

        Raises ValueError for entries of an unknown version.
        """
        state = PartitionLists(store, progress, KeptSteps(store, self._is_changed))
        stale: list[bytes] = []
        together: dict[bytes, PartialBatch] = {}
        for entry, value in store.items():  # for each of millions of entries
            if KeptSteps.owns(entry):
                found = state.kept.restore(entry, value)
                if found is not None:
                    together[entry] = found
                continue
            key = entry[:-SUFFIX]
            topics = self._topics_of(key)
            if topics is None:
                stale.append(entry)
            elif entry[-SUFFIX:] == HEAD:
                _, due, goes = read_times(value)
                if due != LEAST:
                    state.due.setdefault(topics, []).append((due, key))
                if goes != LEAST:
                    state.watch(topics, goes, [key])
        for queue in state.due.values():
            heapify(queue)
        for entry, steps in sorted(together.items()):
            topics = self._topics_of(f"{steps.tenant}\0{steps.rule}".encode())
            if topics is None:
                state.kept.forget(entry)
            else:
                state.kept.recall(entry, steps, topics, progress.reached(topics))
        for entry in stale:
            store.delete(entry)
        return state

    def take_many(
        self, state: PartitionLists, found: PartialBatch, keys: Sequence[bytes]
    ) -> Sequence[int]:
        """Keep together what can be; the rows that are left to `take`."""
        topics = self._topics_of(f"{found.tenant}\0{found.rule}".encode())
        if topics is None:
            return range(len(keys))
        return state.kept.take(found, keys, topics, state.progress.reached(topics), state.live)

    def take(
        self, state: PartitionLists, key: bytes, members: tuple[bytes, bytes, bytes], work: Outbox
    ) -> None:
        """Take what is to be done with a key: times, uids, values. Raises ValueError, KeyError."""
        matches = chunks.unpack(*members)
        topics = self._topics_of(key)
        if topics is None:
            work.counts["matches_of_unknown_rule"] += len(matches)
            return
        for _, _, text in matches:
            list_alerts.check(orjson.loads(str(text)))
        live = state.key(key)
        reached = state.progress.reached(topics)
        for earlier, kept in state.kept.move(key):
            live.add(earlier, kept)
            state.changed[key] = live
            state.queue(topics, key, live)
        judged = live.judged_to(reached)
        piece = chunks.piece(*members)
        if matches[0][0] < judged:
            timely = sorted(each for each in map(_edited(judged), matches) if each[0] >= judged)
            work.counts["matches_after_close"] += len(matches) - len(timely)
            matches, piece = timely, chunks.pack(timely)
        if matches:
            live.add(matches, piece)
            state.changed[key] = live
            state.queue(topics, key, live)

    def advance(self, state: PartitionLists, topic: str, work: Outbox) -> None:
        """Judge what the watermark of a topic has passed."""
        for topics in [each for each in state.due if topic in each]:
            self._settle(state, topics, state.progress.reached(topics), work)
        for topics in [each for each in state.kept.waiting() if topic in each]:
            self._judge(state, topics, state.progress.reached(topics), work)
        for topics in [each for each in state.going if topic in each]:
            self._go(state, topics, state.progress.reached(topics))

    def flush(self, state: PartitionLists) -> None:
        """Write what changed; what waits for nothing is no longer in memory."""
        for key, live in state.changed.items():
            goes = live.flush()
            if goes is not None:
                topics = self._topics_of(key)
                assert topics is not None  # noqa: S101  # it was not changed otherwise
                state.watch(topics, goes, [key])
            if live.due() is None:
                state.live.pop(key, None)
        state.changed.clear()
        if len(state.live) > AWAKE:
            state.live.clear()

    def _waited_for(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name in sorted(self._waits.lists_waited_for()):
            listed = self._lists[name]
            for scope in [SHARED] if listed.shared else self._tenants:
                yield self._waits.list_topic(scope, listed), self._waits.of_list(scope, listed)

    # -- what follows --------------------------------------------------------------------------

    def of_alert(
        self, key: bytes, correlation: Correlation, episode: Episode
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys and Partials for `matches` of what a final alert does to lists."""
        tenant, rule, group = group_of(key)
        time, uid, _ = episode.opened
        for step in self._rules.steps.get(correlation.rule.id, ()):
            own, values = _parts(step, group)
            yield record_of(tenant, step, own, time, unmarked(uid), change(step, rule, values))

    def ask(
        self,
        key: bytes,
        correlation: Correlation,
        episode: Episode,
        sources: Sequence[str],
        chains: Chains,
    ) -> tuple[bytes, bytes]:
        """Key and Partial for `matches` that ask the first list about a final alert."""
        tenant, rule, group = group_of(key)
        time, uid, _ = episode.opened
        first, *later = self._rules.steps[correlation.rule.id]
        content: Content = {"a": first.action, "r": rule, "s": 0, "g": _placed(group)}
        parts = {str(number): _parts(step, group) for number, step in enumerate(later, 1)}
        content["k"] = {number: _placed(own) for number, (own, _) in parts.items()}
        content["w"] = {number: values for number, (_, values) in parts.items()}
        content["c"] = chains.contents(tenant, rule, group, episode)
        if correlation.alerts:
            alert = findings.of_episode(key, correlation, episode, sources, final=True)
            content["f"] = list_alerts.written(alert)
        own, _ = _parts(first, group)
        return record_of(tenant, first, own, time, unmarked(uid), content)

    def _settle(
        self, state: PartitionLists, topics: tuple[str, ...], watermark: int, work: Outbox
    ) -> None:
        queue = state.due[topics]
        while queue and queue[0][0] < watermark:
            due, key = heappop(queue)
            live = state.key(key)
            if live.queued != due:
                if live.due() is None and key not in state.changed:
                    state.live.pop(key, None)
                continue
            live.queued = None
            passed = live.settle(watermark, self.own)
            state.changed[key] = live
            state.queue(topics, key, live)
            for each in passed:
                self.go_on(key, each, work)

    def _go(self, state: PartitionLists, topics: tuple[str, ...], watermark: int) -> None:
        times, going = state.times[topics], state.going[topics]
        while times and times[0] < watermark:
            keys = going.pop(heappop(times))
            alone = [key for key in keys if key not in state.live]
            again, left = end(state.store, alone, watermark)
            for time, stay in again.items():
                state.watch(topics, time, stay)
            for key in [*left, *(key for key in keys if key in state.live)]:
                live = state.key(key)
                live.gone(watermark)
                state.changed[key] = live

    def _judge(
        self, state: PartitionLists, topics: tuple[str, ...], watermark: int, work: Outbox
    ) -> None:
        due = state.kept.advance(topics, watermark)
        judged = Judging(state.store, watermark, self.own, self._passing).judged(due)
        for time, keys in judged.goes.items():
            state.watch(topics, time, keys)
        for scope, some in judged.tests:
            if self._following is not None:
                self._following.go_on(scope, some, work)
        for key, each in judged.passed:
            self.go_on(key, each, work)
        for unread in judged.unread:
            work.unread.append((unread.error, unread.key, due.record(unread.place)))

    def own(self, content: Content) -> Sequence[Content]:
        """Changes of the entry that a test was about, where it is passed."""
        at = content["r"], content.get("s"), content["a"]
        try:
            changes = self._owned[at]
        except (KeyError, TypeError):
            steps = self._rules.steps.get(content["r"], ())
            if not _fits(steps, content):
                return ()
            changes = self._owned[at] = owned(steps, content["s"])
        if not changes:
            return ()
        kept = content.get("w") or {}
        return [change(step, at[0], kept.get(str(number)) or {}) for number, step in changes]

    def go_on(self, key: bytes, passed: Passed, work: Work) -> None:
        """What becomes of an event whose test was passed."""
        time, uid, content, found = passed
        scope, _, _ = group_of(key)
        tenant = content.get("n") or scope
        entry = self._events.get(content["r"]) or self._correlations.get(content["r"])
        steps = self._rules.steps.get(content["r"], ())
        if (
            entry is None
            or tenant not in self._tenants
            or not entry.rule.serves(tenant)
            or not _fits(steps, content)
        ):
            work.counts["matches_of_unknown_rule"] += 1
            return
        test = steps[content["s"]]
        if entry.alerts and found is not None and not test.list.shared:
            # Of a shared list it may be another tenant's.
            content["e"] = {**(content.get("e") or {}), **list_alerts.told(test, found)}
        for number, step in enumerate(steps):
            if before(steps, number) is not test or (not step.tests and step.same_entry(test)):
                continue
            parts = placed((content.get("k") or {}).get(str(number)))
            if None in parts or len(parts) != len(step.list.key):
                work.counts["list_without_key"] += 1
                continue
            if step.tests:
                done = {**content, "a": step.action, "s": number}
                done.pop("n", None)
            else:
                kept = (content.get("w") or {}).get(str(number)) or {}
                done = change(step, entry.rule.id, kept)
            work.feed([record_of(tenant, step, texts(parts), time, uid, done)])
        if before(steps, len(steps)) is not test:
            return
        work.counts["list_tests_passed"] += 1
        if entry.alerts and (isinstance(entry, EventRule) or "f" in content):
            work.say(list_alerts.alert(tenant, entry, passed))
        work.feed(self._counted(tenant, entry, passed))

    def _counted(
        self, tenant: str, entry: EventRule | Correlation, passed: Passed
    ) -> Iterator[tuple[bytes, bytes]]:
        """The match for each correlation over the rule."""
        time, uid, content, _ = passed
        for name, found in (content.get("c") or {}).items():
            correlation = self._correlations.get(name)
            if correlation is None or not correlation.rule.serves(tenant):
                continue
            group, values = placed(found.get("g")), placed(found.get("v"))
            if None in group or None in values or len(group) != len(correlation.group_by):
                continue
            value: Any = values[0] if len(values) == 1 else values or None
            if correlation.steps:
                value = entry.rule.id
            elif correlation.numeric and not is_number(str(value)):
                continue
            counted = b"" if value is None else orjson.dumps([value])
            key, opening = opened("Partial", tenant, name, texts(group))
            marked = f"{uid}{found.get('m') or ''}"
            members = (chunks.TIME.pack(time), marked.encode(), counted, b"")
            yield key, packed.partial(opening, members, packed.text(content.get("o") or ""))

    def _is_changed(self, found: PartialBatch) -> bool:
        return found.rule[len(LIST) :] in self._changing

    def _topics_of(self, key: bytes) -> tuple[str, ...] | None:
        """The topics that a key's list waits for; None: there is no such list, or tenant."""
        head = rule_of(key)
        if head not in self._topics:
            scope, _, name = head.decode(errors="replace").partition("\0")
            listed = self._lists.get(name[len(LIST) :])
            known = (SHARED,) if listed is not None and listed.shared else self._tenants
            fits = listed is not None and scope in known
            self._topics[head] = self._waits.of_list(scope, listed) if listed and fits else None
        return self._topics[head]


def _fits(steps: Sequence[Step], content: Content) -> bool:
    """Whether a test is still what the rule asks: rules may have changed since."""
    at = content.get("s")
    return isinstance(at, int) and at < len(steps) and steps[at].action == content["a"]


def _parts(step: Step, group: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The key and the values of a correlation's step."""
    parts = [group[place] for place in step.places]
    own, kept = parts[: len(step.list.key)], parts[len(step.list.key) :]
    return tuple(own), dict(zip([name for name, _ in step.values], kept, strict=True))


def _placed(parts: Sequence[str]) -> dict[str, str]:
    return {str(place): part for place, part in enumerate(parts)}


def _edited(judged: int) -> Any:
    """Moves what an operator changes to the time from which on nothing was judged yet."""

    def moved(match: Match) -> Match:
        time, uid, text = match
        return (max(time, judged), uid, text) if uid.startswith(EDIT) else match

    return moved
