"""On the file servers of the benign day: people, backup, indexer, virus scanner, builds.

Everything is drawn from `day.random`, and goes out by `day.file(ms, record)`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from app.demo.bodies import Record
from app.demo.noise import FAILURES
from app.demo.vocabulary import FOLDERS, NAMES, SHARES, Person, object_id, path

if TYPE_CHECKING:
    from bench.benign_day import Day

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DOCUMENTS: Final = ("docx", "xlsx", "pptx", "pdf")
SYSTEM: Final = Person("system", "system", "", "0", "", "")


class Desk:
    """The folders that one person works in; everybody has some of their own and a shared one."""

    def __init__(self, day: "Day", person: Person) -> None:
        random = day.random
        self.person = person
        own = f"/home/{person.sid[-4:]}"
        shared = [f"/{random.choice(SHARES)}/{random.choice(FOLDERS)}/{n}" for n in range(8)]
        self.folders = [*shared, *(f"{own}/{name}" for name in random.sample(FOLDERS, 5))]
        self.protocol = random.choice(("smb2", "smb3", "smb3"))

    def file(self, day: "Day") -> str:
        """One of some hundred documents."""
        random = day.random
        name = f"{random.choice(NAMES)} {random.randrange(20)}.{random.choice(DOCUMENTS)}"
        return f"{random.choice(self.folders)}/{name}"


def record(desk: Desk, day: "Day", operation: str, where: str, target: str = "") -> Record:
    """Something that succeeds."""
    size = day.random.randrange(1 << 20) if operation in ("fs_read_data", "fs_write_data") else None
    uid = object_id(day.random)
    return Record(desk.person, desk.protocol, operation, "ok", uid, where, target, size)


def visit(desk: Desk, day: "Day", at: int) -> None:
    """A folder is opened, some files are looked at, one is read, perhaps changed and saved."""
    random = day.random
    where = desk.file(day)
    folder = where.rpartition("/")[0] + "/"
    steps = [("fs_list_directory", folder, "")]
    steps += [("fs_read_metadata", desk.file(day), "") for _ in range(random.randrange(2, 8))]
    steps += [("fs_open", where, ""), ("fs_read_data", where, "")]
    chance = random.random()
    if chance < 0.30:
        steps += list(_saved(day, where))
    elif chance < 0.36:
        steps += [("fs_create_file", f"{folder}new {random.randrange(999)}.docx", "")]
    elif chance < 0.42:
        steps += [("fs_delete", desk.file(day), "")]
    elif chance < 0.46:
        steps += [("fs_rename", where, f"{folder}done {where.rpartition('/')[2]}")]
    elif chance < 0.48:
        film = f"{folder}film {random.randrange(999)}.mp4"
        steps += [("fs_create_file", f"{film}.crdownload", "")]
        steps += [("fs_rename", f"{film}.crdownload", film)]
    for operation, first, second in steps:
        at += random.randrange(50, 9_000)
        if random.random() < 0.01:
            status = random.choice(FAILURES)
            day.file(at, Record(desk.person, desk.protocol, operation, status, "7", first, second))
        else:
            day.file(at, record(desk, day, operation, first, second))


def _saved(day: "Day", where: str) -> Iterator[tuple[str, str, str]]:
    """How office programs save: under another name, the old file aside, the new in its place."""
    folder = where.rpartition("/")[0]
    number = day.random.randrange(10_000)
    fresh = f"{folder}/~WRD{number:04}.tmp"
    if where.endswith("xlsx"):
        fresh = f"{folder}/{number:04X}{number * 7 % 65_536:04X}"  # Excel gives it no extension
    aside = f"{folder}/~WRL{number:04}.tmp"
    yield "fs_create_file", fresh, ""
    yield "fs_write_data", fresh, ""
    yield "fs_write_metadata", fresh, ""
    yield "fs_rename", where, aside
    yield "fs_rename", fresh, where
    yield "fs_delete", aside, ""


def crowd(desk: Desk, day: "Day", at: int, operation: str, count: int, span: int) -> None:
    """One person does the same to `count` different files within `span` ms, by one command."""
    folder = f"/projects/archive {day.random.randrange(90)}"
    for number in range(count):
        where, target = f"{folder}/{number // 40}/IMG_{number:05}.jpg", ""
        if operation == "fs_rename":
            target = f"{folder}/{number // 40}/wedding {number:04}.jpg"
        day.file(at + span * number // count, record(desk, day, operation, where, target))


def renamed_sources(desk: Desk, day: "Day", at: int) -> None:
    """A programmer gives 40 files of a project another extension by a script."""
    for number in range(40):
        where = f"/projects/web/src/module{number}"
        day.file(at + number * 30, record(desk, day, "fs_rename", f"{where}.js", f"{where}.ts"))


def unpacked(desk: Desk, day: "Day", at: int) -> None:
    """Software is unpacked: many folders with a README.md, some with a readme.txt."""
    for number in range(400):
        name = f"file{number}.py"
        if number % 5 == 0:
            name = "README.md" if number % 50 else "readme.txt"
        where = f"/research/tool/part{number // 5}/{name}"
        day.file(at + number * 100, record(desk, day, "fs_create_file", where))
        day.file(at + number * 100 + 20, record(desk, day, "fs_write_metadata", where))


def denied(desk: Desk, day: "Day", at: int, count: int, every: int) -> None:
    """Somebody, or something, tries what it may not open."""
    for number in range(count):
        where = f"/legal/case {number}/"
        failing = Record(
            desk.person, desk.protocol, "fs_open", "fs_access_denied_error", str(number), where
        )
        day.file(at + number * every, failing)


def sweep(desk: Desk, day: "Day", begin: int, end: int, files: int, *, read: bool) -> None:
    """A service goes through `files` files, folder by folder, evenly from `begin` to `end`."""
    for number in range(files):
        at = begin + (end - begin) * number // files
        where = path(day.random)
        if number % 12 == 0:
            folder = where.rpartition("/")[0] + "/"
            day.file(at, record(desk, day, "fs_list_directory", folder))
        day.file(at, record(desk, day, "fs_read_metadata", where))
        if read:
            day.file(at + 3, record(desk, day, "fs_read_data", where))


def build(desk: Desk, day: "Day", at: int, files: int) -> None:
    """Sources and headers are read, objects written, and at the end removed as they come."""
    random = day.random
    folder = f"/projects/build-{random.randrange(10_000):04x}"
    for number in range(files):
        moment = at + number * 900
        for _ in range(4):
            header = f"/projects/include/{random.randrange(800)}.h"
            day.file(moment, record(desk, day, "fs_read_data", header))
        day.file(moment + 5, record(desk, day, "fs_read_data", f"{folder}/src/{number}.cc"))
        day.file(moment + 700, record(desk, day, "fs_create_file", f"{folder}/{number}.o"))
        day.file(moment + 710, record(desk, day, "fs_write_data", f"{folder}/{number}.o"))
    for number in range(files):
        moment = at + files * 900 + MINUTE + number * 8
        day.file(moment, record(desk, day, "fs_delete", f"{folder}/{number}.o"))


def snapshots(day: "Day", begin: int) -> None:
    """The cluster's own, every hour: one is taken, one has expired."""
    for hour in range(24):
        for operation in ("snapshot_create_snapshot", "snapshot_delete_snapshot"):
            at = begin + hour * HOUR + 2_000
            day.file(at, Record(SYSTEM, "internal", operation, "ok", str(hour), "hourly"))
