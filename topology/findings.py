"""What detection found becomes alerts: which, in which state, with which uid."""

import base64
import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence

import orjson

from schemas.packed import Partial
from topology.correlate.episodes import Episode, Match
from topology.correlate.head import Said
from topology.correlate.marks import greatest, shown_of
from topology.correlate.types import TYPES
from topology.keys import group_key, group_of
from topology.rules import LINKED, SHOWN, Alert, Correlation, EventRule, Rule, Tumbling
from topology.uid import MARK, unmarked


def alert_uid(key: bytes, uid: str) -> str:
    """Uid of the alert of a group (topology/keys.py) that an event decided."""
    named = b"%b\0\0%b" % (key, unmarked(uid).encode())
    digest = hashlib.blake2b(named, digest_size=16).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def of_episode(
    key: bytes, correlation: Correlation, episode: Episode, sources: Sequence[str], *, final: bool
) -> Alert:
    """The alert of an episode: provisional with what came so far, or final with everything."""
    tenant, _, group = group_of(key)
    time, uid, _ = episode.opened
    matches = episode.matches
    uids = [match[1] for match in matches[:LINKED]]
    marked = any(MARK in uid for uid in uids)
    shown = tuple(map(shown_of, uids[:SHOWN])) if marked else ()
    return Alert(
        uid=alert_uid(key, uid),
        tenant=tenant,
        rule=correlation.rule,
        kind=correlation.type,
        state="final" if final else "provisional",
        time=time,
        start=matches[0][0],
        end=episode.end,
        count=episode.count,
        group=tuple(zip(correlation.group_by, group, strict=False)),
        uids=tuple(map(unmarked, uids) if marked else uids),
        values=episode.values if TYPES[correlation.type].counts_values else None,
        condition=f"{correlation.type} {correlation.condition}",
        window_ms=correlation.timespan_ms,
        suppress_ms=correlation.suppress_ms,
        sources=tuple(sources),
        sudden=not correlation.rising,
        priority=greatest(uids) if marked else None,
        counted=tuple(_counted(correlation, matches[:SHOWN])),
        shown=shown if any(shown) else (),
    )


def _counted(correlation: Correlation, matches: Sequence[Match]) -> Iterator[Mapping[str, str]]:
    """What a correlation counts of its first events, by name."""
    for _, _, value in matches if correlation.counted else ():
        values = value if isinstance(value, tuple) else (value,)
        yield {name: str(each) for name, each in zip(correlation.counted, values, strict=False)}


def of_fallen(key: bytes, correlation: Correlation, said: Said, instead: Episode | None) -> Alert:
    """A provisional alert that does not stand."""
    tenant, _, group = group_of(key)
    return Alert(
        uid=alert_uid(key, said.uid),
        tenant=tenant,
        rule=correlation.rule,
        kind=correlation.type,
        state="superseded",
        time=said.time,
        start=said.start,
        end=said.end,
        count=said.count,
        group=tuple(zip(correlation.group_by, group, strict=False)),
        superseded_by=alert_uid(key, instead.opened[1]) if instead else None,
    )


def of_events(partial: Partial, rule: EventRule) -> Iterator[Alert]:
    """One final alert for each match of a rule on single events."""
    key = group_key(partial.tenant, partial.rule, ())
    times = struct.unpack(f"<{len(partial.times) // 8}q", partial.times)
    uids = partial.uids.decode().split("\n")
    shown = orjson.loads(partial.evidence) if partial.evidence else [{}] * len(times)
    for time, uid, evidence in zip(times, uids, shown, strict=True):
        yield of_event(key, partial.tenant, rule, (time, uid), evidence, partial.source)


def of_event(
    key: bytes,
    tenant: str,
    rule: EventRule,
    event: tuple[int, str],
    evidence: Mapping[str, str],
    source: str,
) -> Alert:
    """The final alert of one event, by time and uid. `key`: of the rule without a group."""
    time, uid = event
    return Alert(
        uid=alert_uid(key, uid),
        tenant=tenant,
        rule=rule.rule,
        kind="event",
        state="final",
        time=time,
        start=time,
        end=time,
        count=1,
        uids=(uid,),
        evidence=(evidence,) if evidence else (),
        sources=(source,),
    )


def of_window(key: bytes, aggregate: Tumbling, start: int, sources: Sequence[str]) -> Alert:
    """The alert of a tumbling window that reached its count, the same for any order of events."""
    tenant, name, group = group_of(key)
    return Alert(
        uid=alert_uid(key, str(start)),
        tenant=tenant,
        rule=Rule(name, aggregate.title, aggregate.level, name),
        kind="tumbling",
        state="final",
        time=start,
        start=start,
        end=start + aggregate.window_ms,
        count=aggregate.at,
        group=tuple(zip(aggregate.by, group, strict=False)),
        condition=f"count gte {aggregate.at}",
        window_ms=aggregate.window_ms,
        sources=tuple(sources),
    )
