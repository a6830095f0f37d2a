"""Dictionary files: CSV, JSON and YAML tables become `Dictionary` objects, all mistakes at once.

CSV has a header. JSON and YAML are a list of objects, or an object of objects by key.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.yaml_source import Document, SourceError
from topology.enrich.dictionary import Dictionary
from topology.enrich.matching import MATCHES
from topology.enrich.table import as_json

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SPACE = re.compile(r"[ \t\r\n]*")


class LookupErrors(ValueError):  # noqa: N818  # it is several
    """Everything that is wrong with a dictionary, each a line `file:line: key: problem`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a file and the line it begins on."""

    line: int
    row: dict[str, Any]


def load_dictionary(
    path: Path, *, key: str, fields: Sequence[str], name: str, match: str = "exact"
) -> Dictionary:
    """Read the table that adds `name` to events of which a field matches a row's `key`.

    Raises LookupErrors.
    """
    check_name(path, name)
    rows, provider = load_rows(path, key, match)
    return Dictionary(name, key, fields, rows, match=match, provider=provider)


def load_rows(path: Path, key: str, match: str = "exact") -> tuple[list[dict[str, Any]], str]:
    """The rows of a table, each with a `key` of its own that can match, and its version.

    Raises LookupErrors.
    """
    readers = {".csv": csv_rows, ".json": _json, ".yaml": _yaml, ".yml": _yaml}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise LookupErrors([f"{path}: saw {path.suffix!r}, expected .csv, .json, .yaml or .yml"])
    text, provider = read_table(path)
    problems: list[str] = []
    entries = list(read(path, text, key, problems))
    rows = _checked(path, entries, key, MATCHES[match].normal, problems)
    if not entries and not problems:
        problems.append(f"{path}:1: no rows; expected at least one with {key!r}")
    if problems:
        raise LookupErrors(problems)
    return rows, provider


def check_name(path: Path, name: str) -> None:
    """Raises LookupErrors for a name that cannot be part of column names."""
    if NAME.fullmatch(name) is None:
        raise LookupErrors(
            [f"{path}: as: saw {name!r}, expected 1-64 letters, digits, dashes or underscores"]
        )


def read_table(path: Path) -> tuple[str, str]:
    """A table's text, and its version for the events: `<file name>@<digest>`.

    The digest is the first 12 hexadecimal digits of the SHA-256 of the file. Raises LookupErrors.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise LookupErrors([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise LookupErrors([f"{path}: is not UTF-8: byte {error.start}"]) from None
    return text, version(path, content)


def version(path: Path, content: bytes) -> str:
    """The version of a table, as `read_table` has it."""
    return f"{path.name}@{hashlib.sha256(content).hexdigest()[:12]}"


def _checked(
    path: Path, entries: list[Entry], key: str, normal: Callable[[str], str], problems: list[str]
) -> list[dict[str, Any]]:
    """The rows; appends a problem for every row without a key of its own."""
    seen: dict[str, int] = {}
    for entry in entries:
        value = entry.row.get(key)
        if value is None or value == "":
            known = ", ".join(str(column) for column in entry.row) or "none"
            problems.append(f"{path}:{entry.line}: {key}: no value; columns here: {known}")
        elif isinstance(value, dict | list):
            problems.append(f"{path}:{entry.line}: {key}: saw {value!r}, expected text or a number")
        elif (unwritable := _unwritable(entry.row)) is not None:
            problems.append(f"{path}:{entry.line}: {unwritable}")
        else:
            try:
                name = normal(str(value))
            except ValueError as error:
                problems.append(f"{path}:{entry.line}: {key}: {error}")
                continue
            if name in seen:
                problems.append(
                    f"{path}:{entry.line}: {key}: {str(value)!r} is given twice, "
                    f"first in line {seen[name]}; keep one"
                )
            seen.setdefault(name, entry.line)
    return [entry.row for entry in entries]


def _unwritable(row: dict[str, Any]) -> str | None:
    """A column whose value no event could have, as it cannot be written as JSON."""
    try:
        as_json(row)
    except (TypeError, ValueError):
        for column, cell in row.items():
            try:
                as_json({column: cell})
            except (TypeError, ValueError):
                return (
                    f"{column}: saw {cell!a}, expected a number of up to 64 bits, or Unicode "
                    "text; put a longer number in quotes"
                )
    return None


def csv_rows(path: Path, text: str, key: str, problems: list[str]) -> Iterator[Entry]:
    """The rows of a CSV file with a header; appends what is wrong with it to `problems`."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        if key not in header:
            problems.append(
                f"{path}:1: {key}: no such column; expected one of {', '.join(header) or 'none'}"
            )
            return
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) == len(header):
                yield Entry(line, dict(zip(header, cells, strict=True)))
            elif cells:
                problems.append(
                    f"{path}:{line}: saw {len(cells)} values, expected {len(header)}: "
                    f"{', '.join(header)}"
                )
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: not CSV: {error}")


def _json(path: Path, text: str, key: str, problems: list[str]) -> Iterator[Entry]:
    """Elements are read one by one, as that is what tells their lines."""
    decoder = json.JSONDecoder()
    start = _skip(text, 0)
    if not text.startswith("[", start):
        try:
            data = json.loads(text)
        except ValueError as error:
            line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
            problems.append(f"{path}:{line}: not JSON: {error}")
            return
        yield from _by_key(path, data, key, lambda _: 1, problems)
        return
    at = _skip(text, start + 1)
    line, counted = 1, 0
    try:
        while not text.startswith("]", at):
            line, counted = line + text.count("\n", counted, at), at
            row, at = decoder.raw_decode(text, at)
            if isinstance(row, dict):
                yield Entry(line, row)
            else:
                problems.append(f"{path}:{line}: saw {row!r}, expected an object")
            at = _skip(text, at)
            if text.startswith(",", at):
                at = _skip(text, at + 1)
            elif not text.startswith("]", at):
                raise json.JSONDecodeError("expected , or ]", text, at)
        if text[at + 1 :].strip():
            raise json.JSONDecodeError("text after the list", text, at + 1)
    except json.JSONDecodeError as error:
        problems.append(f"{path}:{error.lineno}: not JSON: {error.msg}")


def _skip(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def _yaml(path: Path, text: str, key: str, problems: list[str]) -> Iterator[Entry]:
    try:
        document = Document(path, text)
    except SourceError as error:
        problems += error.problems
        return
    if isinstance(document.data, list):
        for number, row in enumerate(document.data):
            line = document.line((number,))
            if isinstance(row, dict):
                yield Entry(line, row)
            else:
                problems.append(f"{path}:{line}: saw {row!r}, expected an object")
        return
    yield from _by_key(path, document.data, key, lambda name: document.line((name,)), problems)


def _by_key(
    path: Path, data: Any, key: str, line: Callable[[str], int], problems: list[str]
) -> Iterator[Entry]:
    """`{"10.0.0.1": {"owner": "eng"}}`: the keys are the key column."""
    if not isinstance(data, dict):
        problems.append(f"{path}:1: saw {data!r}, expected a list of objects, or objects by key")
        return
    for name, row in data.items():
        if isinstance(row, dict):
            yield Entry(line(name), {**row, key: name})
        else:
            problems.append(f"{path}:{line(name)}: {name}: saw {row!r}, expected an object")
