"""What an unknown log is: formats and normalizers that read it, ranked, and what comes of it."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import polars as pl
import yaml

from app.commands.parse import field_texts
from app.normalizer_files import Loaded
from topology.formats import Decoded, decode
from topology.match.ruleset import RuleSet
from topology.northbound import SERIALIZERS

FORMATS: Final = (
    "qumulo-cloudwatch",
    "qumulo",
    "windows",
    "cef",
    "leef",
    "xml",
    "json",
    "kv",
    "rfc5424",
    "rfc3164",
    "syslog",
    "tsv",
    "csv",
)
"""From the one that says most of a line to the one that takes nearly any."""
LEAST: Final = {"kv": 3, "syslog": 2, "tsv": 3, "csv": 3}
"""So many fields a line has to give in formats that take nearly any text, or all of it."""
TABLES: Final = ("csv", "tsv")
WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_. -]{0,63}")
"""A name in the head of a table."""
NO_OPTIONS: Final[Mapping[str, str]] = {}
HEADER: Final = "syslog."
"""What is before a payload is not counted with it."""
VERSIONED: Final = re.compile(rb"<[0-9]{1,3}>[0-9]{1,3} ")
"""A line of RFC 5424, of which RFC 3164 reads what the other refuses."""
ENOUGH: Final = 0.5
"""Share of lines that a format has to read, and of events that a normalizer has to describe."""
BASE_EVENT: Final = 0
SHOWN: Final = 60
"""Characters of a sample value."""


class Candidate(NamedTuple):
    """A format: which lines it reads, and how many fields they have on average."""

    format: str
    share: float
    fields: float


class Described(NamedTuple):
    """A normalizer, and the share of lines that become more than a Base Event."""

    path: Path
    loaded: Loaded
    share: float


def raw(lines: Sequence[bytes]) -> pl.DataFrame:
    """Lines as a batch, received now."""
    now = int(time.time() * 1000)
    return pl.DataFrame(
        {"row": range(len(lines)), "raw": lines, "received": [now] * len(lines)},
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )


def is_utf8(line: bytes) -> bool:
    """Whether it is text as it is."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def candidates(lines: Sequence[bytes]) -> list[Candidate]:
    """All formats, the best one first."""
    found = [_candidate(name, lines) for name in FORMATS]
    return sorted(found, key=lambda each: (-round(each.share, 1), FORMATS.index(each.format)))


def _candidate(name: str, lines: Sequence[bytes]) -> Candidate:
    own = [line for line in lines if name != "rfc3164" or VERSIONED.match(line) is None]
    counts = [sum(not field.startswith(HEADER) for field in fields) for fields in seen(name, own)]
    least = LEAST.get(name, 1)
    good = [count for count in counts if count >= least]
    if name in TABLES and good:
        (usual, often), *_ = Counter(good).most_common(1)
        good = [usual] * often  # lines of a table have the same number of columns
    mean = sum(good) / len(good) if good else 0.0
    return Candidate(name, min(1.0, len(good) / max(1, len(lines))), mean)


def seen(
    name: str, lines: Sequence[bytes], options: Mapping[str, str] = NO_OPTIONS
) -> Iterator[dict[str, str]]:
    """The fields of each line that a format reads, by the names that normalizers use."""
    for text in field_texts(list(lines), name, options, int(time.time() * 1000)):
        values = orjson.loads(text)
        if "error" not in values:
            values.pop("raw_base64", None)  # of the line, and no field of it
            yield dict(_named(values))


def _named(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if value is None or value in ("", {}, []):
            continue
        if name == "value":
            yield from _paths("", value)
        elif name == "columns":
            yield from ((f"columns[{at}]", str(each)) for at, each in enumerate(value))
        elif name in ("syslog", "sd"):
            yield from _paths(f"{name}.", value)
        elif isinstance(value, dict):
            yield from ((key, str(each)) for key, each in value.items())
        else:
            yield name, str(value)


def _paths(before: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        if before:
            yield before.rstrip("."), orjson.dumps(value).decode()
        return
    for name, each in value.items():
        if isinstance(each, dict):
            yield from _paths(f"{before}{name}.", each)
        elif each is not None:
            said = each if isinstance(each, str) else orjson.dumps(each).decode()
            yield f"{before}{name}", said


def options_of(name: str, lines: Sequence[bytes]) -> dict[str, str]:
    """What the format of a log has to be told: of a table whose first line is its head, the names.

    A head has words alone, which do not come again, over values some of which are no words.
    """
    if name not in TABLES:
        return {}
    rows = (
        [value for field, value in fields.items() if field.startswith("columns[")]
        for fields in seen(name, lines)
    )
    head = next(rows, [])
    others = [row for row in rows if row != head]
    if len(set(head)) < len(head) or not all(map(WORD.fullmatch, head)):
        return {}
    columns = list(zip(*(row for row in others if len(row) == len(head)), strict=True))
    if any(word in column for word, column in zip(head, columns, strict=False)):
        return {}
    digits = (sum(value[:1].isdigit() for value in column) for column in columns)
    if not any(count > ENOUGH * len(others) for count in digits):
        return {}
    return {"columns": ",".join(head)}


def described(path: Path, loaded: Loaded, lines: Sequence[bytes]) -> Described:
    """How much of a log a normalizer describes."""
    found = decode(loaded.format, raw(lines), loaded.options, loaded.normalizer).events
    known = int((found["class_uid"] != BASE_EVENT).sum()) if "class_uid" in found.columns else 0
    return Described(path, loaded, min(1.0, known / max(1, len(lines))))


def events(decoded: Decoded) -> list[dict[str, Any]]:
    """Events as tenants would receive them."""
    return [orjson.loads(text) for text in SERIALIZERS["ocsf-json"](decoded.events).to_list()]


def fired(rules: RuleSet, decoded: Decoded) -> dict[str, int]:
    """How many events each rule matches, by its title; of what correlations count, theirs."""
    hits = rules.match(decoded.events, None)
    found: Counter[str] = Counter()
    for index, rows in hits.items():
        if rules.rules.events[index].alerts:
            found[rules.rules.events[index].rule.title] += len(rows)
    for correlation in rules.rules.correlations:
        counted = sum(len(hits[member]) for member in correlation.members if member in hits)
        if counted:
            found[f"{correlation.rule.title} (counts)"] = counted
    return dict(found)


def skeleton(name: str, chosen: str | None, lines: Sequence[bytes]) -> str:
    """A normalizer to begin with: the format, a Base Event, and the fields seen, with values."""
    whole: dict[str, Any] = {"name": name, "version": "1", "product": {"name": name}}
    if chosen is None:
        whole |= {"format": "regexp", "options": {"pattern": "^(?P<message>.*)$"}}
    else:
        whole["format"] = chosen
    options = options_of(chosen, lines) if chosen else {}
    if options:
        whole["options"] = options
    values: dict[str, list[str]] = {}
    for fields in seen(chosen, lines, options) if chosen else ():
        for field, value in fields.items():
            values.setdefault(field, []).append(value)
    message = next((each for each in ("msg", "message", "name") if each in values), None)
    if chosen is None:
        message = "message"
    event: dict[str, Any] = {"class": "Base Event", "set": {}}
    if message:
        event["set"]["message"] = {"field": message}
    whole["events"] = [event]
    text = "# docs/normalizers.md says what can be written here.\n"
    text += yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    if values:
        text += "# Fields seen: of how many lines, and one value of each.\n"
    for field, known in sorted(values.items(), key=lambda each: -len(each[1])):
        sample = " ".join(known[0].split())[:SHOWN]
        text += f"#   {field}: {100 * len(known) // len(lines)} %  {sample}\n"
    return text
