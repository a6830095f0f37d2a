"""A realistic Qumulo audit stream of three clusters, the same bytes for the same arguments.

Known beforehand: how many lines there are, how many of them are malformed, and which final alerts
they lead to. Two clusters write CSV, one JSON; one frames by line feeds, one counts octets, one
mixes both. Within a connection event times are nearly in order (up to 1.5 s back).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Literal, NamedTuple

from app.demo.bodies import Form, body
from app.demo.incidents import Cast, Incident, Planted, plant
from app.demo.malformed import malformed
from app.demo.noise import DELETES_A_MINUTE, DENIALS_IN_FIVE, Noise, every
from app.demo.vocabulary import Person, people, write_dictionaries

PEOPLE: Final = 150
CULPRITS: Final = 40
"""People of each cluster who have parts in incidents only, so that alerts' counts are known."""
MALFORMED_EVERY: Final = 500
CHUNK_LINES: Final = 50
USUAL_SPAN_S: Final = 600.0
LATE_US: Final = 1_500_000

FRACTIONS: Final = [(f".{n:05}".rstrip("0").rstrip(".")).encode() for n in range(100_000)]
"""By tens of microseconds; the cluster strips trailing zeros."""


class Cluster(NamedTuple):
    """One sender."""

    name: str
    nodes: int
    address: str
    form: Form
    framing: Literal["lf", "octet", "mixed"]
    share: float


CLUSTERS: Final = (
    Cluster("nas-fra", 6, "127.0.0.11", "csv", "lf", 0.40),
    Cluster("nas-muc", 4, "127.0.0.12", "csv", "octet", 0.35),
    Cluster("nas-ber", 4, "127.0.0.13", "json", "mixed", 0.25),
)


class Chunk(NamedTuple):
    """Bytes to send at a point of event time (ms), and how many lines they complete."""

    time_ms: int
    data: bytes
    lines: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What the stream must lead to. Each incident is one final alert; there are no others."""

    lines: int
    malformed: int
    incidents: tuple[Incident, ...]

    @property
    def events(self) -> int:
        """Lines that are events."""
        return self.lines - self.malformed


class Step(NamedTuple):
    """A planted line: microseconds and body."""

    time_us: int
    body: bytes


class Stream:
    """`lines` lines with event times from `start_ms` to `end_ms`."""

    def __init__(self, seed: int, lines: int, start_ms: int, end_ms: int) -> None:
        random = Random(f"{seed}")
        self._seed = seed
        self._start_us, self._end_us = start_ms * 1000, end_ms * 1000
        self._people = {
            each.name: people(random, PEOPLE, number + 1) for number, each in enumerate(CLUSTERS)
        }
        culprits = {name: found[:CULPRITS] for name, found in self._people.items()}
        planted = plant(Cast(random, culprits), *(each.name for each in CLUSTERS))
        self._steps = self._schedule(random, planted)
        shares = [int(lines * each.share) for each in CLUSTERS[1:]]
        self._lines = dict(
            zip([each.name for each in CLUSTERS], [lines - sum(shares), *shares], strict=True)
        )
        self.expected = Expected(
            lines=lines,
            malformed=sum(count // MALFORMED_EVERY for count in self._lines.values()),
            incidents=tuple(each.incident for each in planted if each.incident),
        )

    def connections(self) -> list["Connection"]:
        """One connection a cluster; each can be read through once."""
        span = (self._start_us, self._end_us)
        return [
            Connection(
                each,
                Random(f"{self._seed}/{each.name}"),
                self._people[each.name][CULPRITS:],
                self._steps[each.name],
                self._lines[each.name],
                span,
            )
            for each in CLUSTERS
        ]

    def write_dictionaries(self, folder: Path) -> None:
        """assets.csv and departments.csv for the enrichment of this stream."""
        write_dictionaries(folder, [each for found in self._people.values() for each in found])

    def _schedule(self, random: Random, planted: list[Planted]) -> dict[str, list[Step]]:
        """Planted lines by cluster, in order of time."""
        steps: dict[str, list[Step]] = {each.name: [] for each in CLUSTERS}
        forms = {each.name: each.form for each in CLUSTERS}
        span = self._end_us - self._start_us
        pace = min(1_000_000, round(span / USUAL_SPAN_S))  # a short stream has short incidents
        for each in planted:
            begin = self._start_us + round(span * each.at)
            for cluster, seconds, record in each.steps:
                line = body(record, forms[cluster], variant=random.randrange(105))
                steps[cluster].append(Step(begin + round(seconds * pace), line))
        for found in steps.values():
            found.sort()
        return steps


class Connection:
    """The bytes of one cluster's connection, in chunks."""

    def __init__(
        self,
        cluster: Cluster,
        random: Random,
        staff: list[Person],
        steps: list[Step],
        lines: int,
        span: tuple[int, int],
    ) -> None:
        self.cluster = cluster
        self.address = cluster.address
        self.lines = lines
        self._random = random
        self._steps = steps
        self._noise = Noise(random, staff, cluster.form)
        self._start_us, self._end_us = span
        a_minute = lines / max((span[1] - span[0]) / 60_000_000, 1e-9)
        self._delete_every = every(0.02, a_minute, DELETES_A_MINUTE, len(staff))
        self._denial_every = every(0.01, a_minute, DENIALS_IN_FIVE // 5, len(staff))
        self._hosts = [f" {cluster.name}-{n + 1} qumulo - - - ".encode() for n in range(16)]
        self._hosts = self._hosts[: cluster.nodes] * 16  # any four bits choose one
        self._seconds: dict[int, bytes] = {}

    def chunks(self) -> Iterator[Chunk]:
        """All lines, framed, in order of event time but for the lateness of some."""
        bad = self.lines // MALFORMED_EVERY
        ordinary = self.lines - len(self._steps)
        step_us = (self._end_us - self._start_us) / ordinary
        bad_every = ordinary // bad if bad else ordinary + 1
        planted = 0
        for first in range(0, ordinary, CHUNK_LINES):
            last = min(first + CHUNK_LINES, ordinary)
            until = self._start_us + round(last * step_us)
            lines = [
                (at := self._start_us + int(number * step_us), *self._line(number, at, bad_every))
                for number in range(first, last)
            ]
            before = planted
            while planted < len(self._steps) and (
                self._steps[planted].time_us < until or last == ordinary
            ):
                at, text = self._steps[planted]
                lines.append((at, self._header(at) + text, True))
                planted += 1
            if planted > before:
                lines.sort(key=lambda line: line[0])
            yield Chunk(until // 1000, self._framed(lines), len(lines))

    def _line(self, number: int, slot_us: int, bad_every: int) -> tuple[bytes, bool]:
        """The ordinary line of a slot, and whether it is well-formed."""
        bits = self._random.getrandbits(48)
        late = (bits >> 8) % LATE_US if bits & 15 == 0 else bits & 0x3FFF
        header = self._header(slot_us - late)
        pool = self._noise.pool
        if (
            number % bad_every == bad_every // 2
            and number // bad_every < self.lines // MALFORMED_EVERY
        ):
            bad = malformed(number // bad_every, self._random, header, pool[bits % len(pool)])
            return bad, False
        if number % self._delete_every == 1:
            return header + self._noise.delete(), True
        if number % self._denial_every == 0:
            return header + self._noise.denial(), True
        return header + pool[(bits >> 16) % len(pool)], True

    def _header(self, time_us: int) -> bytes:
        second, micro = divmod(time_us, 1_000_000)
        text = self._seconds.get(second)
        if text is None:
            text = time.strftime("<14>1 %Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
            self._seconds[second] = text
        host = self._hosts[self._random.getrandbits(4)]
        return text + FRACTIONS[micro // 10] + b"Z" + host

    def _framed(self, lines: list[tuple[int, bytes, bool]]) -> bytes:
        framing = self.cluster.framing
        if framing == "lf":
            return b"".join([line + b"\n" for _, line, _ in lines])
        if framing == "octet":
            return b"".join([b"%d %b" % (len(line), line) for _, line, _ in lines])
        # Malformed ones end by a line feed here: what a count announces must look like a message.
        return b"".join(
            b"%d %b" % (len(line), line) if good and at % 7 < 3 else line + b"\n"
            for at, line, good in lines
        )
