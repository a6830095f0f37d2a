"""Workload W: Qumulo audit lines in RFC 5424 frames, and the dictionaries that job J joins.

The same seed, size and base give the same bytes. Proportions are those of the Qumulo samples this
project works from: ten operations, 3 % deletes, 4 % access denied, paths with commas, doubled
quotes and UTF-8, object ids of up to 97 bits, fractions of a second without trailing zeros.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

LINES = 1_000_000
SPAN_MS = 20 * 60_000
"""Event time that one pass over the lines covers: three stay within a window and its grace, so that
no partition can run so far ahead of another that a window closes early."""
WINDOW_MS = 5 * 60_000
THRESHOLD = 100
USERS = 500
ADDRESSES = 250
ASSETS = 1_000

OPERATIONS = {
    "fs_read_data": 0.34,
    "fs_read_metadata": 0.17,
    "fs_list_directory": 0.10,
    "fs_open": 0.09,
    "fs_write_data": 0.14,
    "fs_write_metadata": 0.04,
    "fs_create_file": 0.055,
    "fs_create_directory": 0.01,
    "fs_rename": 0.025,
    "fs_delete": 0.03,
}
DIRECTORY_OPERATIONS = ("fs_list_directory", "fs_create_directory")
DENIED = 0.04
PROTOCOLS = {"smb2": 0.55, "smb3": 0.25, "nfs3": 0.12, "nfsv4.1": 0.08}
NODES = ("nas-1", "nas-2", "nas-3", "nas-4")

EXTENSIONS = {"docx": 0.2, "xlsx": 0.2, "pdf": 0.2, "jpg": 0.15, "txt": 0.1, "dwg": 0.1, "": 0.045}
FLAGGED = ("lockbit", "encrypted", "wncry", "ryuk", "conti", "akira", "blackcat", "royal")
"""Extensions that job J flags; half a percent of the paths carry one."""

DEPARTMENTS = (
    "Finance",
    "Engineering",
    "Sales",
    "Legal",
    "Research",
    "Ventes Ouest",
    "Vertrieb Süd",
)
SITES = ("Berlin", "Zürich", "Austin", "Kraków", "Singapore")
FOLDERS = (
    "/fin/2026/q1",
    "/fin/due, open",
    "/eng/cad/parts",
    "/eng/releases",
    "/sales/offers",
    '/sales/"final"',
    "/legal",
    "/lab/données",
    "/lab/größe",
    "/home/scans",
    "/home/desktop",
    "/media/zdjęcia",
)
STEMS = (
    "report",
    "offer, signed",
    "plan",
    "übersicht",
    "notes",
    "scan",
    'draft "b"',
    "image",
    "model",
)
FOLDER_WEIGHTS = (10, 3, 10, 10, 10, 1, 10, 3, 3, 10, 10, 3)
STEM_WEIGHTS = (20, 3, 20, 6, 20, 20, 1, 20, 20)


@dataclass(frozen=True)
class Workload:
    """Lines before their time stamps are set.

    `frame` has one row per line: `time_us: Int64` (event time of the first pass, in microseconds
    since the epoch), `user: String` (as logged), `operation: String`, `rest: String` (the line
    behind its time stamp).
    """

    frame: pl.DataFrame

    def lines(self, number: int = 0) -> list[bytes]:
        """The lines of one pass; each pass continues in event time where the one before ended."""
        at = pl.from_epoch(pl.col("time_us") + number * SPAN_MS * 1_000, time_unit="us")
        # Qumulo strips trailing zeros from the fraction, and the point when nothing is left.
        stamp = at.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").str.strip_chars_end("0")
        text = pl.concat_str(pl.lit("<14>1 "), stamp.str.strip_chars_end("."), pl.col("rest"))
        return self.frame.select(text.cast(pl.Binary)).to_series().to_list()

    def alerts(self, passes: int) -> set[tuple[str, int]]:
        """(user as logged, window start in ms) of each window whose deletes reach the threshold."""
        window = WINDOW_MS * 1_000
        counts = (
            self.frame.filter(pl.col("operation") == "fs_delete")
            .group_by("user", pl.col("time_us") // window * WINDOW_MS)
            .len()
            .filter(pl.col("len") >= THRESHOLD)
        )
        return {
            (user, start + number * SPAN_MS)
            for user, start, _ in counts.iter_rows()
            for number in range(passes)
        }


def generate(seed: int, base_ms: int, lines: int = LINES) -> Workload:
    """Workload W from a base time, which has to lie on a window's edge."""
    return written(columns(seed, base_ms, lines))


def columns(seed: int, base_ms: int, lines: int) -> pl.DataFrame:
    """What the lines of W say: `time_us`, `user`, `operation`, `path`, `stem` (the path without
    its extension, as a rename's target has it) and what `written` needs beside them."""
    if base_ms % WINDOW_MS:
        raise ValueError(f"base_ms is {base_ms}; expected a multiple of {WINDOW_MS} (five minutes)")
    random = np.random.default_rng(seed)
    who = _pick(random, lines, _skew())
    user = pl.Series(users())[who]
    operation = pl.Series(list(OPERATIONS))[_pick(random, lines, OPERATIONS.values())]
    # Nine of ten requests come from the user's own machine.
    where = np.where(
        random.random(lines) < 0.9, who % ADDRESSES, random.integers(ADDRESSES, size=lines)
    )
    # In units of 100 us, as the samples have them; up to two seconds out of order.
    jitter = random.integers(40_000, size=lines)
    time = np.arange(lines) * ((SPAN_MS * 10 - 40_000) / lines) + jitter
    directory = operation.is_in(DIRECTORY_OPERATIONS)
    stem, path = _paths(random, lines, directory)
    return pl.DataFrame(
        {
            "time_us": base_ms * 1_000 + time.astype(np.int64) * 100,
            "user": user,
            "operation": operation,
            "node": pl.Series(NODES)[random.integers(len(NODES), size=lines)],
            "address": pl.Series(addresses())[where],
            "protocol": pl.Series(list(PROTOCOLS))[_pick(random, lines, PROTOCOLS.values())],
            "denied": random.random(lines) < DENIED,
            "object": _object_ids(random, lines),
            "stem": stem,
            "path": path,
        }
    )


def written(frame: pl.DataFrame) -> Workload:
    """The lines that say what `columns` gave."""
    target = pl.when(pl.col("operation") == "fs_rename").then(pl.col("stem") + "-renamed.docx")
    chosen = frame.select(
        "time_us",
        "user",
        "operation",
        rest=pl.format(
            'Z {} qumulo - - - {},"{}",{},{},{},{},"{}","{}"',
            "node",
            "address",
            "user",
            "protocol",
            "operation",
            pl.when("denied").then(pl.lit("fs_access_denied_error")).otherwise(pl.lit("ok")),
            "object",
            "path",
            target.otherwise(pl.lit("")),
        ),
    )
    return Workload(chosen)


def users() -> list[str]:
    """The 500 users as Qumulo logs them: mostly of a domain, some local, some POSIX ids."""
    names = []
    for number in range(USERS):
        if number % 10 == 9:
            names.append(str(10_000 + number))
        elif number % 10 == 8:
            names.append(f"svc-backup{number}")
        else:
            names.append(f"CORP\\{('jürgen', 'maria', 'li', 'agnieszka')[number % 4]}.{number:03d}")
    return names


def addresses() -> list[str]:
    """The 250 client addresses, ten of them IPv6."""
    return [
        f"2001:db8:20::{number:x}"
        if number % 25 == 24
        else f"10.{20 + number % 7}.{number % 31}.{1 + number}"
        for number in range(ADDRESSES)
    ]


def assets(seed: int) -> pl.DataFrame:
    """1,000 assets: `ip`, `name`, `site`, `owner`, all String; one client in 25 is not listed."""
    random = np.random.default_rng(seed + 1)
    listed = [address for number, address in enumerate(addresses()) if number % 25 != 13]
    others = [f"172.16.{n // 250}.{n % 250}" for n in range(ASSETS - len(listed))]
    return pl.DataFrame(
        {
            "ip": listed + others,
            "name": [f"ws-{number:04d}" for number in range(ASSETS)],
            "site": [SITES[pick] for pick in random.integers(len(SITES), size=ASSETS)],
            "owner": [f"owner {pick:03d}" for pick in random.integers(USERS, size=ASSETS)],
        }
    )


def departments(seed: int) -> pl.DataFrame:
    """The department of each user: `user` (without the domain), `department`, both String."""
    random = np.random.default_rng(seed + 2)
    picks = random.integers(len(DEPARTMENTS), size=USERS)
    return pl.DataFrame(
        {
            "user": [user.rpartition("\\")[2] for user in users()],
            "department": [DEPARTMENTS[pick] for pick in picks],
        }
    )


def extensions() -> pl.DataFrame:
    """The flagged extensions: `ext`, `family`, both String."""
    return pl.DataFrame({"ext": FLAGGED, "family": [f"{ext} ransomware" for ext in FLAGGED]})


def _skew() -> Iterator[float]:
    """Weights that put the busiest users near the threshold, so that a handful of windows alert."""
    return ((number + 20) ** -0.91 for number in range(USERS))


def _pick(random: np.random.Generator, size: int, weights: Iterable[float]) -> np.ndarray:
    share = np.fromiter(weights, np.float64)
    return random.choice(len(share), size=size, p=share / share.sum())


def _paths(
    random: np.random.Generator, lines: int, directory: pl.Series
) -> tuple[pl.Series, pl.Series]:
    """Paths without and with their extension, in CSV's spelling (quotes doubled)."""
    known = dict(EXTENSIONS) | dict.fromkeys(FLAGGED, 0.005 / len(FLAGGED))
    ext = pl.Series(list(known))[_pick(random, lines, known.values())]
    frame = pl.DataFrame(
        {
            "folder": pl.Series(FOLDERS)[_pick(random, lines, FOLDER_WEIGHTS)],
            "name": pl.Series(STEMS)[_pick(random, lines, STEM_WEIGHTS)],
            "number": random.integers(100_000, size=lines),
            "ext": ext,
            "directory": directory,
        }
    )
    plain = pl.format("{}/{} {}", "folder", "name", "number").str.replace_all(
        '"', '""', literal=True
    )
    suffix = (
        pl.when("directory")
        .then(pl.lit("/"))
        .when(pl.col("ext") == "")
        .then(pl.lit(""))
        .otherwise("." + pl.col("ext"))
    )
    made = frame.select(stem=plain, path=plain + suffix)
    return made["stem"], made["path"]


def _object_ids(random: np.random.Generator, lines: int) -> pl.Series:
    """Decimal object ids, a tenth of them of about 97 bits and so beyond any machine integer."""
    high = pl.Series(random.integers(10**9, 10**10, size=lines)).cast(pl.String)
    low = pl.Series(random.integers(10**18, 9 * 10**18, size=lines)).cast(pl.String)
    wide = pl.Series(random.random(lines) < 0.1)
    short = pl.Series(random.integers(10**6, 10**10, size=lines)).cast(pl.String)
    return pl.select(pl.when(wide).then(high + low).otherwise(short)).to_series()
