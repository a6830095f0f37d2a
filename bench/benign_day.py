"""A day without an incident: every source of the shipped rules, the same lines for the same seed.

300 people and their computers, administrators, service accounts, two file servers, two firewalls
and some Linux hosts, over 24 hours of event time. What a crowd does grows with the number of
events; single acts, such as a folder that somebody empties, are as many on a short day.
"""

import time
from random import Random
from typing import Final, NamedTuple

from app.demo.bodies import Record
from app.demo.vocabulary import Person, people
from bench import benign_lines as lines
from bench.benign_files import HOUR, Desk, visit
from bench.benign_files import snapshots as take_snapshots
from bench.benign_work import acts, admins_at_work, crowds

SPAN_MS: Final = 24 * HOUR
PEOPLE: Final = 300
SOURCES: Final = {
    "nas-fra": "qumulo",
    "nas-ber": "qumulo",
    "windows": "windows-security",
    "asa": "cisco-asa",
    "fortigate": "fortigate",
    "sshd": "sshd",
    "sudo": "sudo",
}
"""Sources and what reads them: the format qumulo, or a normalizer."""
HOURS: Final = (
    1,
    1,
    1,
    1,
    1,
    2,
    8,
    40,
    90,
    100,
    100,
    90,
    55,
    90,
    100,
    100,
    80,
    45,
    20,
    10,
    6,
    4,
    2,
    1,
)
"""How much people do in each hour of the day, UTC."""


class Line(NamedTuple):
    """A line of a source at a moment (ms)."""

    time: int
    text: bytes


class Day:
    """`events` lines from `start_ms` on, and before them what rules that learn have to know."""

    def __init__(self, seed: int, events: int, start_ms: int) -> None:
        self.random = Random(f"benign/{seed}")
        self.start_ms = start_ms
        self.scale = events / 1_000_000
        self.lines: dict[str, list[Line]] = {name: [] for name in SOURCES}
        self.past: dict[str, list[Line]] = {name: [] for name in SOURCES}
        self.desks = [Desk(self, person) for person in people(self.random, PEOPLE, 7)]
        self.admins = [
            self.service(f"adm-{name}", f"10.8.1.{n}")
            for n, name in enumerate(("ines", "jan", "kaja"), 10)
        ]
        for desk in self.desks:
            self._learn(desk)
        take_snapshots(self, start_ms)
        admins_at_work(self)
        acts(self)
        crowds(self)
        missing = events - sum(map(len, self.lines.values()))
        if missing < 0:
            least = events - missing
            raise ValueError(f"{events} events are too few for a day; it has at least {least}")
        self._fill(missing)
        for found in self.lines.values():
            found.sort()

    def service(
        self, name: str, address: str, protocol: str = "smb3", *, known: bool = True
    ) -> Desk:
        """An account that is no person of the offices; `known`: since yesterday at least."""
        number = self.random.randrange(10**6)
        user = name if protocol.startswith("nfs") else rf"{lines.DOMAIN}\{name}"
        desk = Desk(self, Person(user, name, f"S-1-5-21-8-{number}", str(number), address, "IT"))
        desk.protocol = protocol
        if known:
            self._learn(desk)
        return desk

    def moment(self) -> int:
        """Some time in the day, when people are at work most likely."""
        (hour,) = self.random.choices(range(24), HOURS)
        return self.start_ms + hour * HOUR + self.random.randrange(HOUR)

    def at(self, clock: str) -> int:
        """A time of the day, such as 09:30."""
        hour, minute = map(int, clock.split(":"))
        return self.start_ms + hour * HOUR + minute * 60_000

    def add(self, source: str, ms: int, text: bytes) -> None:
        """A line, unless it falls behind the day's end."""
        if ms < self.start_ms + SPAN_MS:
            self.lines[source].append(Line(ms, text))

    def file(self, ms: int, record: Record) -> None:
        """A record of the file server where somebody's data is."""
        random = self.random
        berlin = record.person.sid.endswith(("3", "6", "9"))
        node = f"nas-{'ber' if berlin else 'fra'}-{random.randrange(1, 5)}"
        text = lines.qumulo(ms, node, record, "json" if berlin else "csv", random.randrange(105))
        self.add(node[:7], ms, text)

    def _learn(self, desk: Desk) -> None:
        """The day before: somebody logs on from where they always do."""
        at = self.start_ms - 16 * HOUR + len(self.past["windows"]) * 1_000
        name = desk.person.name or desk.person.user
        data = {"TargetUserName": name, "LogonType": "3", "IpAddress": desk.person.ip}
        self.past["windows"].append(Line(at, lines.windows(at, 4624, "dc1", **data)))
        logon = Record(desk.person, desk.protocol, "smb_login")
        self.past["nas-fra"].append(Line(at, lines.qumulo(at, "nas-fra-1", logon, "csv", 0)))

    def _fill(self, missing: int) -> None:
        """Ordinary visits until the day has its number of lines."""
        before = sum(map(len, self.lines.values()))
        while (count := sum(map(len, self.lines.values())) - before) < missing:
            for _ in range(max(1, (missing - count) // 20)):
                visit(self.random.choice(self.desks), self, self.moment())
        for name in ("nas-fra", "nas-ber"):
            surplus = min(count - missing, len(self.lines[name]) // 2)
            if surplus > 0:
                del self.lines[name][-surplus:]
            count -= max(surplus, 0)


def midnight(ms: int) -> int:
    """The beginning of the day (UTC) of a moment."""
    seconds = ms // 1000
    moment = time.gmtime(seconds)
    return (seconds - moment.tm_hour * 3600 - moment.tm_min * 60 - moment.tm_sec) * 1000
