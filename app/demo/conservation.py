"""The demo's bookkeeping: every raw record has one outcome, every incident one final alert.

Pure: what was read from the topics comes in, a table of rows that balance or not goes out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table: `seen` has to equal `expected`."""

    name: str
    expected: int
    seen: int
    note: str = ""

    @property
    def balances(self) -> bool:
        """Whether this line is as it should be."""
        return self.expected == self.seen


@dataclass(slots=True)
class Outcomes:
    """What became of raw records. `digests` maps a uid to a hash of the raw bytes."""

    digests: dict[str, str] = field(default_factory=dict)
    repeated: int = 0

    def add(self, uid: str, digest: str) -> None:
        """Take note of one record; a uid seen before counts as repeated."""
        if uid in self.digests:
            self.repeated += 1
        self.digests[uid] = digest


class Final(NamedTuple):
    """A final alert: the rule's title and the values of its group."""

    rule: str
    group: tuple[str, ...]


def conservation(
    *,
    sent: int,
    raw: Outcomes,
    events: Outcomes,
    dead: Outcomes,
    filtered: int,
    aggregated: int = 0,
    malformed: int,
    written: int,
) -> list[Row]:
    """Rows about records: each received one has one outcome and is unaltered.

    `filtered` and `aggregated` records have no event of their own, as the workers counted them.
    `sent` lines left the senders, `malformed` of them on purpose; `written` events stand on the
    tenant's topic according to the broker.
    """
    without = filtered + aggregated
    outcome = raw.digests.keys() & (events.digests.keys() | dead.digests.keys())
    both = events.digests.keys() & dead.digests.keys()
    invented = (events.digests.keys() | dead.digests.keys()) - raw.digests.keys()
    altered = sum(
        1
        for found in (events, dead)
        for uid, digest in found.digests.items()
        if raw.digests.get(uid, digest) != digest
    )
    return [
        Row("raw records = lines sent", sent, len(raw.digests), "over three TCP connections"),
        Row("raw records with an outcome", len(raw.digests), len(outcome) + without),
        Row(
            "events + filtered + aggregated + dead letters",
            len(raw.digests),
            len(events.digests) + without + len(dead.digests),
            f"{len(events.digests):,} + {filtered:,} + {aggregated:,} + {len(dead.digests):,}",
        ),
        Row("dead letters = malformed lines", malformed, len(dead.digests)),
        Row("events consumed = events written", written, len(events.digests) + events.repeated),
        Row("lost", 0, len(raw.digests) - len(outcome) - without),
        Row("doubled", 0, events.repeated + dead.repeated + len(both)),
        Row("invented", 0, len(invented)),
        Row("altered", 0, altered, "raw bytes compared"),
    ]


def detection(
    expected: Mapping[Final, str] | Iterable[Final], finals: Sequence[Final]
) -> list[Row]:
    """Rows about alerts: one final for each planted incident, and no other."""
    seen = Counter(finals)
    planned = list(expected)
    rows = [
        Row(f"{incident.rule}: {', '.join(incident.group)}", 1, seen.pop(incident, 0))
        for incident in planned
    ]
    other = ", ".join(f"{final.rule} {final.group}" for final in list(seen)[:3])
    return [*rows, Row("other final alerts", 0, sum(seen.values()), other)]
