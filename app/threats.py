"""Lists of indicators of compromise: CSV, STIX 2.1 bundles and exports of MISP become `Threats`.

A row of a CSV file that cannot be meant is a mistake. Of STIX and MISP, which others write, what
is no indicator of a kind that events are matched with is passed over and counted in the log.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from app.lookups import LookupErrors, check_name, csv_rows, read_table
from topology.enrich.threats import KINDS, Indicator, Threats

log = logging.getLogger(__name__)

KEY: Final = "indicator"
TYPE: Final = "type"
WORDS: Final[Mapping[str, str]] = {
    "ip": "ip ipv4 ipv6 cidr ip-src ip-dst ipv4-addr ipv6-addr",
    "domain": "domain hostname fqdn domain-name",
    "hash": "hash md5 sha1 sha224 sha256 sha384 sha512 sha3-256 sha3-512",
    "file": "file filename",
    "url": "url uri",
}
"""What CSV files and MISP (its attribute types) call them."""
ALIASES: Final = {word: kind for kind, words in WORDS.items() for word in words.split()}
SHORTEST_DIGEST: Final = 32
COMPARISON: Final = re.compile(
    r"\s*(?P<object>[a-z0-9-]+):(?P<path>[^\s=!<>]+|[^\s=!<>']*'[^']*')"
    r"(?:\s*=\s*|\s+(?:IN|ISSUBSET)\s*)"
    r"(?P<values>\((?:[^'()]|'(?:[^'\\]|\\.)*')*\)|'(?:[^'\\]|\\.)*')"
    r"\s*(?P<then>OR\s|\]|$)"
)
"""One comparison of a pattern (STIX 2.1 section 9.3) that holds or does not by itself."""
OR_ANOTHER: Final = re.compile(r"\s*OR\s*\[")
"""Between two observations, one of which is enough."""
LITERAL: Final = re.compile(r"'((?:[^'\\]|\\.)*)'")
PATHS: Final[Mapping[tuple[str, str], str]] = {
    ("ipv4-addr", "value"): "ip",
    ("ipv6-addr", "value"): "ip",
    ("domain-name", "value"): "domain",
    ("url", "value"): "url",
    ("file", "name"): "file",
}
"""Object and property of a STIX pattern; `file:hashes.*` is the fifth."""


def load_threats(
    path: Path,
    *,
    name: str,
    key: str = KEY,
    attributes: Mapping[str, Sequence[str]] | None = None,
) -> Threats:
    """Read a list of indicators; `key` is their column where it is a CSV file.

    Raises LookupErrors.
    """
    check_name(path, name)
    text, provider = read_table(path)
    problems: list[str] = []
    skipped: Counter[str] = Counter()
    suffix = path.suffix.lower()
    if suffix == ".csv":
        found = list(_csv(path, text, key, problems))
    elif suffix == ".json":
        found = list(_proper(_json(path, text, skipped, problems), skipped))
    else:
        raise LookupErrors(
            [f"{path}: saw {path.suffix!r}, expected .csv, or .json of STIX 2.1 or MISP"]
        )
    if not found and not problems:
        kinds = ", ".join(KINDS)
        problems.append(f"{path}:1: no indicators; expected at least one of {kinds}")
    if problems:
        raise LookupErrors(problems)
    if skipped:
        what = ", ".join(f"{count} {reason}" for reason, count in skipped.most_common())
        log.warning("%s: %d indicators; passed over: %s", path, len(found), what)
    return Threats(name, found, attributes, provider)


def _csv(path: Path, text: str, key: str, problems: list[str]) -> Iterator[Indicator]:
    """`type` says what an indicator is; without that column, or where it is empty, its form."""
    for line, row in ((entry.line, entry.row) for entry in csv_rows(path, text, key, problems)):
        value = str(row[key]).strip()
        given = str(row.get(TYPE) or "").strip().lower()
        kind = ALIASES.get(given) if given else _kind(value)
        if not value:
            problems.append(f"{path}:{line}: {key}: no value")
        elif kind is None and given:
            text = f"saw {given!r}, expected one of {', '.join(KINDS)}, or nothing"
            problems.append(f"{path}:{line}: {TYPE}: {text}")
        elif kind is None:
            text = f"saw {value!r}; say in a column {TYPE!r} what it is"
            problems.append(f"{path}:{line}: {key}: {text}")
        elif given and (problem := _problem(kind, value)):
            problems.append(f"{path}:{line}: {key}: {problem}")
        else:
            data = {column: cell for column, cell in row.items() if column not in (key, TYPE)}
            yield Indicator(kind, value, data)


def _kind(value: str) -> str | None:
    """What an indicator is by its form, and properly so; None for what is none of them. A file name
    looks like a domain, so it cannot be told."""
    if "://" in value:
        return "url"
    if len(value) >= SHORTEST_DIGEST and not _problem("hash", value):
        return "hash"
    if ":" in value or "/" in value or value[-1:].isdigit():
        return None if _problem("ip", value) else "ip"
    return None if _problem("domain", value) else "domain"


def _problem(kind: str, value: str) -> str:
    try:
        KINDS[kind].matching.normal(value)
    except ValueError as error:
        return str(error)
    return ""


def _proper(found: Iterator[Indicator], skipped: Counter[str]) -> Iterator[Indicator]:
    """Those with values that can be meant."""
    for indicator in found:
        if not indicator.value.strip() or _problem(indicator.kind, indicator.value):
            skipped[f"not a proper {indicator.kind}"] += 1
        else:
            yield indicator


def _json(path: Path, text: str, skipped: Counter[str], problems: list[str]) -> Iterator[Indicator]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        problems.append(f"{path}:{error.lineno}: not JSON: {error.msg}")
        return
    if isinstance(document, dict) and document.get("type") == "bundle":
        for each in document.get("objects") or []:
            if isinstance(each, dict) and each.get("type") == "indicator":
                yield from _stix(each, skipped)
        return
    events = list(_events(document))
    if not events:
        problems.append(f"{path}:1: expected a STIX 2.1 bundle, or events or attributes of MISP")
    for event in events:
        yield from _misp(event, skipped)


def _stix(indicator: Mapping[str, Any], skipped: Counter[str]) -> Iterator[Indicator]:
    """STIX 2.1 section 4.7. Only alternatives of single comparisons; anything else needs more than
    one attribute at a time."""
    pattern = indicator.get("pattern")
    if indicator.get("revoked") is True:
        skipped["revoked"] += 1
        return
    compared = (
        _compared(pattern)
        if isinstance(pattern, str) and indicator.get("pattern_type", "stix") == "stix"
        else None
    )
    if not compared:
        skipped["patterns that are not one value or alternatives of one"] += 1
        return
    types = indicator.get("indicator_types")
    data = {
        "id": indicator.get("id"),
        "name": indicator.get("name"),
        "types": ",".join(map(str, types)) if isinstance(types, list) else None,
        "confidence": indicator.get("confidence"),
        "valid_until": indicator.get("valid_until"),
    }
    for kind, value in compared:
        yield Indicator(kind, value, data)


def _compared(pattern: str) -> list[tuple[str, str]] | None:
    """Kinds and values of a pattern; None if it says more than that one of them is seen."""
    text = pattern.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    found: list[tuple[str, str]] = []
    at = 1
    while True:
        match = COMPARISON.match(text, at)
        if match is None:
            return None
        thing, property_ = match["object"], match["path"]
        kind = PATHS.get((thing, property_))
        if thing == "file" and property_.startswith("hashes."):
            kind = "hash"
        if kind is None:
            return None
        found += [
            (kind, re.sub(r"\\(.)", r"\1", literal)) for literal in LITERAL.findall(match["values"])
        ]
        at = match.end()
        if match["then"].startswith("OR"):
            continue
        if match["then"] != "]" or at == len(text):
            return found if match["then"] == "]" else None
        another = OR_ANOTHER.match(text, at)
        if another is None:
            return None
        at = another.end()


def _events(document: Any) -> Iterator[Mapping[str, Any]]:
    """Events of MISP: one, a list, the answer of a search, or attributes without an event."""
    if isinstance(document, list):
        for each in document:
            yield from _events(each)
    elif isinstance(document, dict):
        if "Attribute" in document or "Object" in document:
            yield document
        for name in ("Event", "response"):
            if name in document:
                yield from _events(document[name])


def _misp(event: Mapping[str, Any], skipped: Counter[str]) -> Iterator[Indicator]:
    """MISP core format (draft-dulaunoy-misp-core-format, sections 2.2 to 2.4)."""
    attributes = list(event.get("Attribute") or [])
    for thing in event.get("Object") or []:
        attributes += thing.get("Attribute") or []
    tags = ",".join(str(tag.get("name")) for tag in event.get("Tag") or [])
    common = {"event": event.get("info"), "event_uuid": event.get("uuid"), "tags": tags}
    for each in attributes:
        if not isinstance(each, dict) or each.get("deleted") in (True, 1, "1"):
            skipped["deleted"] += 1
        elif each.get("to_ids") in (False, 0, "0"):
            skipped["not for detection (to_ids)"] += 1
        else:
            data = common | {
                "category": each.get("category"),
                "comment": each.get("comment"),
                "uuid": each.get("uuid"),
            }
            parts = list(_parts(str(each.get("type")), str(each.get("value"))))
            if not parts:
                skipped[f"of type {each.get('type')}"] += 1
            yield from (Indicator(kind, value, data) for kind, value in parts)


def _parts(type_: str, value: str) -> Iterator[tuple[str, str]]:
    """Kinds and values of an attribute. Of `filename|md5` only the hash: the name alone is more."""
    names, values = type_.split("|"), value.split("|")
    for name, part in zip(names, values, strict=False):
        kind = ALIASES.get(name)
        if kind and not (kind == "file" and len(names) > 1):
            yield kind, part
