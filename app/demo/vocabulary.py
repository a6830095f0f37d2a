"""Who works on the demo's file servers, from where, on what: people, addresses, paths, ids."""

import csv
from dataclasses import dataclass
from pathlib import Path
from random import Random

FIRST = (
    "anna", "ben", "carla", "david", "elif", "franz", "greta", "hugo", "ines", "jan", "kaja",
    "lena", "marek", "nora", "omar", "paul",
)  # fmt: skip
LAST = (
    "keller", "müller", "brandt", "çelik", "dvořák", "engel", "fischer", "groß", "huber",
    "ivanov", "jansen", "krüger", "lang", "moreau", "nowak", "okafor", "peters", "quandt",
    "rossi", "schäfer", "tanaka", "ulrich", "vogt", "wagner", "xu", "yilmaz", "zimmer", "löwe",
)  # fmt: skip
DEPARTMENTS = ("Finance", "Human Resources", "Engineering", "Legal", "Media", "Research", "Sales")
SHARES = ("finance", "hr", "projects", "legal", "media", "research", "home")
FOLDERS = (
    "2024 Budget", "Q3, final", "Verträge", "Entwürfe", "архив", "設計", "shots/sc_0140", "RAW",
    "build-7f3a", "Kunden & Partner", 'the "blue" folder', "Archiv/2019", "x", "data=v2",
)  # fmt: skip
NAMES = (
    "report", "Angebot Müller, GmbH", "plan v2", "IMG_2041", "notes", "Jahresabschluß", "main",
    'O"Brien', "take,3", "résumé", "データ", "model_17", "backup 2024-01-02", "it's", "a;b", "100%",
)  # fmt: skip
EXTENSIONS = ("docx", "xlsx", "pdf", "csv", "jpg", "psd", "exr", "mov", "py", "cpp", "parquet", "")
CRITICALITY = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Person:
    """`user` is what the audit log calls them; `name` is None for a bare SID or uid."""

    user: str
    name: str | None
    sid: str
    auth_id: str
    ip: str
    department: str


def people(random: Random, count: int, network: int) -> list[Person]:
    """People of one site: mostly domain users; a few local names, uids and SIDs; some on IPv6."""
    full = [f"{first}.{last}" for last in LAST for first in FIRST]
    found = []
    for number, chosen in enumerate(random.sample(full, count)):
        name = f"{chosen}{network}"  # sites share nobody, so that each rule's group is at one site
        rid = 1000 + network * 1000 + number
        sid = f"S-1-5-21-3623811015-3361044348-30300820-{rid}"
        kind = number % 20
        known: str | None = name
        user = rf"AD\{name}"
        if kind == 17:
            user = name
        elif kind == 18:
            user, known = str(rid), None
        elif kind == 19:
            user, known = sid, None
        ip = f"10.{20 + network}.{number // 200}.{number % 200 + 10}"
        if number % 11 == 3:
            ip = f"2001:db8:{network:x}::{number:x}"
        found.append(
            Person(user, known, sid, str(8_589_934_592 + rid), ip, random.choice(DEPARTMENTS))
        )
    return found


def path(random: Random, *, extension: str | None = None) -> str:
    """A file somewhere; with quotes, commas, blanks and letters of many scripts."""
    extension = random.choice(EXTENSIONS) if extension is None else extension
    name = f"{random.choice(NAMES)} {random.randrange(10_000)}"
    folder = f"/{random.choice(SHARES)}/{random.choice(FOLDERS)}/{random.randrange(300)}"
    return f"{folder}/{name}.{extension}" if extension else f"{folder}/{name}"


def object_id(random: Random) -> str:
    """A file id; one in eight has up to 97 bits, as clusters that have been grown show."""
    return str(random.getrandbits(97 if random.random() < 0.125 else 40))


def write_dictionaries(folder: Path, found: list[Person]) -> None:
    """assets.csv (by ip) and departments.csv (by user name) for the demo's enrichment."""
    with (folder / "assets.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["ip", "asset", "criticality", "owner"])
        for number, person in enumerate(found):
            level = CRITICALITY[number % 3]
            table.writerow([person.ip, f"ws-{number:04d}", level, person.department])
    with (folder / "departments.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["user", "department"])
        table.writerows([each.name, each.department] for each in found if each.name)
