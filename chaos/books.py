"""The books of a run: what was read back is compared with the raw topic, which is the truth.

Pure: what was read comes in, one row goes out. Numbers stand for uids and digests for bytes, as a
soak has ten million of each.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson


@dataclass(slots=True)
class Seen:
    """Records by uid: the digest of each, and which came again, or came otherwise."""

    first: dict[int, int] = field(default_factory=dict)
    more: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, uid: int, digest: int) -> None:
        """One more record."""
        if uid in self.first:
            self.more[uid, digest] += 1
        else:
            self.first[uid] = digest

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Each uid with each of its digests, once."""
        yield from self.first.items()
        yield from (each for each in self.more if self.first[each[0]] != each[1])


@dataclass(slots=True)
class Read:
    """What the topics of a run hold, by event uid.

    `raw`: digest of each raw record. `events`: for each tenant, digest of each event's bytes;
    `changed`: events that carry other raw bytes than their record has. `dead`: digest of the raw
    bytes in each dead letter. `finals`: for each tenant the final alerts, bytes and how often.
    `store`: entries of the stores, by store and key.
    """

    raw: dict[int, int] = field(default_factory=dict)
    events: dict[str, Seen] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    dead: Seen = field(default_factory=Seen)
    finals: dict[str, Counter[bytes]] = field(default_factory=dict)
    store: dict[tuple[str, bytes], bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Expected:
    """What the topology test driver makes of the same raw records."""

    events: dict[str, dict[int, int]] = field(default_factory=dict)
    dead: dict[int, int] = field(default_factory=dict)
    finals: dict[str, Counter[bytes]] = field(default_factory=dict)
    store: dict[tuple[str, bytes], bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Row:
    """One line of the table."""

    case: str
    seed: int
    sent: int = 0
    events: int = 0
    filtered: int = 0
    dead_letters: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    altered: int = 0
    alerts_equal: bool = False
    recovery_s: float | None = None

    @property
    def balances(self) -> bool:
        """Whether each raw record has one outcome, unaltered, and the alerts are the true ones."""
        faults = self.lost + self.doubled + self.invented + self.altered
        outcomes = self.events + self.filtered + self.dead_letters
        return self.sent > 0 and not faults and outcomes == self.sent and self.alerts_equal

    def as_dict(self) -> dict[str, Any]:
        """As build/chaos.json has it."""
        return asdict(self)


def close(row: Row, read: Read, expected: Expected) -> Row:
    """Fill the row. With several tenants, each one's events have to be complete."""
    raw, dead = read.raw, read.dead.first
    row.sent = len(raw)
    row.dead_letters = len(dead)
    row.doubled += read.dead.more.total()
    row.invented += sum(uid not in raw for uid in dead)
    row.altered += sum(raw.get(uid, digest) != digest for uid, digest in read.dead.pairs())
    lost: set[int] = set()
    for tenant, seen in read.events.items():
        wanted, uids = expected.events.get(tenant, {}), seen.first
        row.doubled += seen.more.total() + sum(uid in dead for uid in uids)
        row.invented += sum(uid not in raw for uid in uids)
        lost.update(
            uid
            for uid in raw
            if (uid in wanted or uid in expected.dead) and uid not in uids and uid not in dead
        )
        row.altered += sum(
            wanted.get(uid, digest) != digest or uid in read.changed for uid, digest in seen.pairs()
        )
    outcomes = [seen.first for seen in read.events.values()]
    row.events = sum(any(uid in uids for uids in outcomes) for uid in raw)
    lost.update(uid for uid in raw if uid not in dead and not any(uid in u for u in outcomes))
    row.lost = len(lost)
    row.alerts_equal = read.finals == expected.finals
    return row


def without(alerts: Counter[bytes], attributes: Collection[str]) -> Counter[bytes]:
    """Alerts of OCSF JSON without some attributes; what is left is compared byte for byte."""
    shorter: Counter[bytes] = Counter()
    for alert, times in alerts.items():
        content = orjson.loads(alert)
        for attribute in attributes:
            content.pop(attribute, None)
        shorter[orjson.dumps(content)] += times
    return shorter


def difference(read: Mapping[str, Counter[bytes]], expected: Mapping[str, Counter[bytes]]) -> str:
    """Which final alerts are too many or too few, for a person."""
    lines = []
    for tenant in sorted(read.keys() | expected.keys()):
        seen, wanted = read.get(tenant, Counter()), expected.get(tenant, Counter())
        more, fewer = seen - wanted, wanted - seen
        if more or fewer:
            lines.append(
                f"{tenant}: {more.total()} finals too many, {fewer.total()} missing, "
                f"{(seen & wanted).total()} equal"
            )
            lines += [f"  + {each[:600]!r}" for each in list(more)[:2]]
            lines += [f"  - {each[:600]!r}" for each in list(fewer)[:2]]
    return "\n".join(lines)
