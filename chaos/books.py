"""The books of a run: what was read back is compared with the raw topic, which is the truth.

Pure: what was read comes in, one row goes out. Digests stand for bytes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Read:
    """What the topics of a run hold, by event uid.

    `raw`: digest of each raw record. `events`: for each tenant, digest of each event's bytes and
    how often it came; `carried`: digest of the raw bytes that an event carries. `dead`: digest of
    the raw bytes in each dead letter, and how often. `finals`: for each tenant the final alerts,
    bytes and how often.
    """

    raw: dict[str, str] = field(default_factory=dict)
    events: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)
    dead: Counter[tuple[str, str]] = field(default_factory=Counter)
    finals: dict[str, Counter[bytes]] = field(default_factory=dict)
    store: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Expected:
    """What the topology test driver makes of the same raw records."""

    events: dict[str, dict[str, str]] = field(default_factory=dict)
    dead: dict[str, str] = field(default_factory=dict)
    finals: dict[str, Counter[bytes]] = field(default_factory=dict)
    store: dict[bytes, bytes] = field(default_factory=dict)


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
    row.sent = len(read.raw)
    dead = {uid for uid, _ in read.dead}
    row.dead_letters = len(dead)
    row.doubled += sum(read.dead.values()) - len(dead)
    row.invented += len(dead - read.raw.keys())
    row.altered += sum(1 for uid, digest in read.dead if read.raw.get(uid, digest) != digest)
    lost: set[str] = set()
    for tenant, seen in read.events.items():
        wanted = expected.events.get(tenant, {})
        uids = {uid for uid, _ in seen}
        row.doubled += sum(seen.values()) - len(uids) + len(uids & dead)
        row.invented += len(uids - read.raw.keys())
        mine = {uid for uid in read.raw if uid in wanted or uid in expected.dead}
        lost |= mine - uids - dead
        row.altered += sum(
            1
            for uid, digest in seen
            if wanted.get(uid, digest) != digest
            or read.raw.get(uid) != read.carried.get(uid, read.raw.get(uid))
        )
    everything = {uid for seen in read.events.values() for uid, _ in seen}
    row.events = len(everything & read.raw.keys())
    row.lost = len(lost | (read.raw.keys() - everything - dead))
    row.alerts_equal = read.finals == expected.finals
    return row


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
