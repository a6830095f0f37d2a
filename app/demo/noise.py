"""Everyday work on a file server: what fills the demo's stream and must raise no alert.

Harmless records come from a pool, at random. Deletions and denials, which rules count, take turns
over all people at a bounded rate, so that nobody comes near a threshold with any seed or length.
"""

from itertools import cycle
from random import Random
from typing import Final

from app.demo.bodies import Form, Record, body
from app.demo.vocabulary import Person, object_id, path

POOL: Final = 6_000
DELETES_A_MINUTE: Final = 20
"""By one person at most; 100 are a mass delete."""
DENIALS_IN_FIVE: Final = 15
"""By one person in five minutes at most; 50 are a burst."""

PROTOCOLS: Final = ("smb2", "smb2", "smb3", "nfs3", "nfs4", "smb", "nfsv4.1", "s3", "ftp")
HARMLESS: Final = (
    ("fs_read_metadata", 300), ("fs_read_data", 180), ("fs_list_directory", 130),
    ("fs_open", 100), ("fs_write_data", 80), ("fs_create_file", 50), ("fs_write_metadata", 40),
    ("fs_rename", 30), ("fs_create_directory", 10), ("fs_create_symlink", 3), ("fs_set_quota", 2),
    ("smb_login", 10), ("share_connect", 10), ("smb_close_session", 8), ("nfs_mount", 5),
    ("rest_login", 3), ("fs_fsstat", 10), ("nfs_modify_export", 1), ("fs_invented_tomorrow", 2),
)  # fmt: skip
FAILURES: Final = ("fs_no_such_entry_error", "fs_entry_exists_error", "fs_no_space_error")
DENIALS: Final = (
    "fs_access_denied_error", "fs_access_perm_not_owner_error", "fs_read_only_error",
    "http_unauthorized_error", "api_permission_denied_error",
)  # fmt: skip
SYSTEM: Final = Person("system", "system", "", "0", "", "")


class Noise:
    """Bodies of one cluster's everyday records."""

    def __init__(self, random: Random, people: list[Person], form: Form) -> None:
        self._random = random
        self._form = form
        self.pool = self._pool(people)
        self._deletes = cycle([self._delete(each) for each in people for _ in range(2)])
        self._denials = cycle(
            [self._denial(each, number) for number in range(3) for each in people]
        )

    def delete(self) -> bytes:
        """The next person's deletion."""
        return next(self._deletes)

    def denial(self) -> bytes:
        """The next person's denial, at a path that is theirs alone."""
        return next(self._denials)

    def _pool(self, people: list[Person]) -> list[bytes]:
        random = self._random
        names, weights = zip(*HARMLESS, strict=True)
        operations = random.choices(names, weights, k=POOL - 10)
        found = [self._harmless(random.choice(people), operation) for operation in operations]
        # What the cluster itself does every hour; with a user's name it would be an alert.
        for number in range(10):
            record = Record(SYSTEM, "internal", "snapshot_delete_snapshot", "ok", str(number))
            found.append(self._body(record))
        return found

    def _harmless(self, person: Person, operation: str) -> bytes:
        random = self._random
        status = random.choice(FAILURES) if random.random() < 0.02 else "ok"
        if operation == "rest_login":
            return self._body(Record(person, "api", operation, status))
        if operation == "nfs_modify_export":
            return self._body(Record(person, "api", operation, status, "9", "/PSS"))
        protocol = random.choice(PROTOCOLS)
        if operation in ("smb_login", "smb_close_session"):
            return self._body(Record(person, "smb2", operation, status))
        if operation == "share_connect":
            return self._body(Record(person, "smb2", operation, status, "", r"\\nas\projects"))
        where, target = path(random), ""
        if operation in ("fs_list_directory", "fs_create_directory", "nfs_mount"):
            where = where.rpartition("/")[0] + "/"
        elif operation == "fs_rename":
            where, target = self._rename()
        record = Record(
            person, protocol, operation, status, object_id(random), where, target,
            random.randrange(1 << 20) if operation in ("fs_read_data", "fs_write_data") else None,
        )  # fmt: skip
        return self._body(record)

    def _rename(self) -> tuple[str, str]:
        """A move, a save through a temporary file, a finished download or a rotated log."""
        random = self._random
        source = path(random)
        kind = random.randrange(4)
        if kind == 0:
            folder, _, name = source.rpartition("/")
            return source, f"{folder} done/{name}"
        if kind == 1:
            target = path(random, extension="docx")
            return f"{target.rpartition('/')[0]}/~WRD{random.randrange(10_000):04}.tmp", target
        if kind == 2:
            target = path(random, extension="mov")
            return f"{target}.part", target
        log = path(random, extension="log")
        return log, f"{log}.1"

    def _delete(self, person: Person) -> bytes:
        random = self._random
        return self._body(
            Record(person, "smb2", "fs_delete", "ok", object_id(random), path(random))
        )

    def _denial(self, person: Person, number: int) -> bytes:
        random = self._random
        where = f"/legal/restricted/{person.sid}/{number}, closed.pdf"
        status = DENIALS[random.randrange(len(DENIALS))]
        return self._body(Record(person, "smb3", "fs_open", status, object_id(random), where))

    def _body(self, record: Record) -> bytes:
        return body(record, self._form, variant=self._random.randrange(105))


def every(share: float, a_minute: float, allowed: int, people: int) -> int:
    """After how many lines a counted record may come: a share of all, or less on a fast stream.

    `a_minute`: lines a minute; `allowed`: records a minute and person.
    """
    rate = min(share, allowed * people / max(a_minute, 1.0))
    return max(2, round(1 / rate))
