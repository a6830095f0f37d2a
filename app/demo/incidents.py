"""Incidents planted in the demo's stream, each with the final alert it must lead to.

Each stays well above the threshold of its rule (rules/qumulo) and inside one episode of it. Near
misses, well below, must lead to nothing. Each incident has a culprit of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

from app.demo.bodies import Record
from app.demo.vocabulary import Person, object_id, path

NEW_EXTENSIONS: Final = ("qzx7", "k9ra", "vvkx", "n0mz", "w3lt")
RANSOMWARE: Final = ("lockbit", "akira", "conti", "ryk", "locked")
NOTE: Final = "HOW_TO_DECRYPT_FILES.txt"
LONGEST_S: Final = 40.0

Step: TypeAlias = tuple[str, float, Record]
"""Cluster, seconds after the incident's start, what happens."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A final alert to come: the rule's title, the group's values, how many events it counts."""

    rule: str
    group: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Planted:
    """Steps at a place in the stream (0 begin, 1 end); `incident` None for a near miss."""

    at: float
    steps: Sequence[Step]
    incident: Incident | None


class Cast:
    """People by cluster, handed out one after another; each has one part only."""

    def __init__(self, random: Random, people: dict[str, list[Person]]) -> None:
        self.random = random
        self._left = {name: iter(found) for name, found in people.items()}

    def next(self, cluster: str, *, domain: bool = True) -> Person:
        """Somebody who has no part yet; `domain`: with a domain account."""
        return next(
            each for each in self._left[cluster] if not domain or each.user.startswith("AD\\")
        )


def plant(cast: Cast, fra: str, muc: str, ber: str) -> list[Planted]:
    """All incidents and near misses, in the order of their places."""
    scripts: list[tuple[float, Callable[[], Planted]]] = [
        (0.08, lambda: _deletes(cast, 0.08, {fra: 180}, 30)),
        (0.14, lambda: _ransomware(cast, 0.14, muc)),
        (0.20, lambda: _near_deletes(cast, 0.20, fra)),
        (0.26, lambda: _tree_delete(cast, 0.26, ber)),
        (0.32, lambda: _new_extension(cast, 0.32, fra)),
        (0.38, lambda: _notes(cast, 0.38, ber)),
        (0.44, lambda: _denied_user(cast, 0.44, fra)),
        (0.50, lambda: _denied_path(cast, 0.50, ber)),
        (0.56, lambda: _near_ransomware(cast, 0.56, ber)),
        (0.60, lambda: _snapshot_policy(cast, 0.60, muc)),
        (0.66, lambda: _audit_config(cast, 0.66, fra)),
        (0.72, lambda: _deletes(cast, 0.72, {fra: 70, muc: 65}, 25)),
        (0.78, lambda: _ransomware(cast, 0.78, ber)),
        (0.84, lambda: _near_readme(cast, 0.84, muc)),
    ]
    return [script() for _, script in scripts]


def _spread(cluster: str, records: Iterator[Record], count: int, seconds: float) -> list[Step]:
    return [(cluster, seconds * n / count, record) for n, record in zip(range(count), records)]  # noqa: B905


def _deletions(cast: Cast, person: Person, protocol: str) -> Iterator[Record]:
    while True:
        yield Record(person, protocol, "fs_delete", "ok", object_id(cast.random), path(cast.random))


def _deletes(cast: Cast, at: float, counts: dict[str, int], seconds: float) -> Planted:
    """One user deletes; on several clusters no one of them alone reaches the threshold."""
    person = cast.next(next(iter(counts)))
    steps = [
        step
        for cluster, count in counts.items()
        for step in _spread(cluster, _deletions(cast, person, "smb2"), count, seconds)
    ]
    incident = Incident("Mass delete by one user", (person.user,), sum(counts.values()))
    return Planted(at, steps, incident)


def _near_deletes(cast: Cast, at: float, cluster: str) -> Planted:
    person = cast.next(cluster, domain=False)
    records = _deletions(cast, person, "nfs3")
    failing = Record(
        person, "nfs3", "fs_tree_delete", "fs_access_denied_error", "7", "/legal/2019/"
    )
    return Planted(at, [*_spread(cluster, records, 60, 40), (cluster, 41, failing)], None)


def _renames(cast: Cast, person: Person, extension: str) -> Iterator[Record]:
    while True:
        source = path(cast.random, extension=cast.random.choice(("docx", "xlsx", "jpg", "pdf")))
        target = f"{source}.{extension}"
        yield Record(person, "smb3", "fs_rename", "ok", object_id(cast.random), source, target)


def _ransomware(cast: Cast, at: float, cluster: str) -> Planted:
    person = cast.next(cluster)
    steps = _spread(cluster, _renames(cast, person, cast.random.choice(RANSOMWARE)), 60, LONGEST_S)
    incident = Incident("Files with a known ransomware extension", (person.user,), 60)
    return Planted(at, steps, incident)


def _near_ransomware(cast: Cast, at: float, cluster: str) -> Planted:
    person = cast.next(cluster)
    return Planted(at, _spread(cluster, _renames(cast, person, "locked"), 8, 30), None)


def _new_extension(cast: Cast, at: float, cluster: str) -> Planted:
    person, extension = cast.next(cluster), cast.random.choice(NEW_EXTENSIONS)
    steps = _spread(cluster, _renames(cast, person, extension), 45, 30)
    return Planted(
        at, steps, Incident("Mass rename to one new extension", (person.user, extension), 45)
    )


def _notes(cast: Cast, at: float, cluster: str) -> Planted:
    person = cast.next(cluster)
    records = (
        Record(person, "smb2", "fs_create_file", "ok", object_id(cast.random), f"/hr/{n}/{NOTE}")
        for n in range(6)
    )
    incident = Incident("Ransom note in several directories", (person.user, NOTE), 6)
    return Planted(at, _spread(cluster, records, 6, 12), incident)


def _near_readme(cast: Cast, at: float, cluster: str) -> Planted:
    """Unpacked software: a readme in each of a few folders, markdown in many."""
    person = cast.next(cluster)
    names = ["readme.txt"] * 6 + ["README.md"] * 30
    records = (
        Record(person, "nfs4", "fs_create_file", "ok", object_id(cast.random), f"/src/{n}/{name}")
        for n, name in enumerate(names)
    )
    return Planted(at, _spread(cluster, records, len(names), 20), None)


def _tree_delete(cast: Cast, at: float, cluster: str) -> Planted:
    record = Record(
        cast.next(cluster), "smb2", "fs_tree_delete", "ok", "1406", "/projects/Entwürfe, alt/"
    )
    return Planted(at, [(cluster, 0, record)], Incident("Directory tree deleted", (), 1))


def _denied_user(cast: Cast, at: float, cluster: str) -> Planted:
    person = cast.next(cluster)
    records = (
        Record(person, "smb3", "fs_open", "fs_access_denied_error", str(n), f"/legal/case {n}/")
        for n in range(80)
    )
    incident = Incident("Access denied many times to one user", (person.user,), 80)
    return Planted(at, _spread(cluster, records, 80, LONGEST_S), incident)


def _denied_path(cast: Cast, at: float, cluster: str) -> Planted:
    """Nine users, two tries each, at one path."""
    where = "/finance/Gehälter 2026, vertraulich.xlsx"
    tried = [cast.next(cluster) for _ in range(9)] * 2
    records = (
        Record(person, "smb2", "fs_open", "fs_access_denied_error", "97", where) for person in tried
    )
    steps = _spread(cluster, records, len(tried), 30)
    return Planted(at, steps, Incident("Several users denied on one path", (where,), len(tried)))


def _snapshot_policy(cast: Cast, at: float, cluster: str) -> Planted:
    title = "Snapshot deleted, unlocked or its policy changed"
    record = Record(cast.next(cluster), "api", "snapshot_delete_policy", "ok", "", "hourly")
    return Planted(at, [(cluster, 0, record)], Incident(title, (), 1))


def _audit_config(cast: Cast, at: float, cluster: str) -> Planted:
    person = cast.next(cluster)
    record = Record(person, "api", "audit_modify_syslog_config", "ok", "", "192.0.2.7:514")
    incident = Incident("Audit log configuration changed", (), 1)
    return Planted(at, [(cluster, 0, record)], incident)
