"""Files of `northbound test`: lines that come in, and what has to come out.

Docs: docs/testing.md. Durations are milliseconds.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from app.config.connection import UNREADABLE, Strict
from app.config.fields import Duration, Positive
from app.config.shape import fitted
from app.rule_streams import START_MS
from app.yaml_source import Document, SourceError, read

TOKEN = re.compile(r"\{n(?:%([1-9]\d*))?\}|\{time(?::([^}]+))?\}")


def _zoned(value: object) -> datetime:
    """YAML has times of its own; both forms need a zone here."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("expected a time with its zone, such as 2026-01-27T14:12:23Z")
    return value


def _line(value: object) -> object:
    """YAML reads what looks like a number or a time as one."""
    if isinstance(value, str | dict):
        return value
    raise ValueError("expected a line in quotes, or a mapping with `line`")


def _text(value: str) -> str:
    if not value:
        raise ValueError("expected a line")
    return value


class Lines(Strict):
    """One kind of line. In it `{n}` counts from 0, `{n%4}` modulo 4, and `{time}` is its time in
    UTC, as RFC 3339 or in a strftime form: `{time:%b %d %H:%M:%S}`."""

    line: Annotated[str, AfterValidator(_text)]
    at: Duration = 0
    repeat: Positive = 1
    every: Duration = 1_000


class DeadLetter(Strict):
    """A line that cannot become an event. `reason` is a part of what is said."""

    stage: str
    reason: str = ""


class Alert(Strict):
    """A final alert. What is not given may be anything."""

    title: str
    group: dict[str, str] | None = None
    count: Positive | None = None


class PipelineTest(Strict):
    """Lines of one source, and what one tenant receives; what is not given is not looked at."""

    stand_in = MappingProxyType({"name": UNREADABLE, "source": UNREADABLE, "lines": ["unreadable"]})
    name: str
    source: str
    tenant: str | None = None
    """The only one that receives the source, if not given."""
    received: Annotated[datetime, BeforeValidator(_zoned)] = datetime.fromtimestamp(
        START_MS / 1000, UTC
    )
    """When lines come that do not say their time; `{time}` begins here."""
    lines: Annotated[list[Annotated[str | Lines, BeforeValidator(_line)]], Field(min_length=1)]
    events: list[dict[str, Any]] | None = None
    filtered: Annotated[int, Field(ge=0)] | None = None
    aggregated: Annotated[int, Field(ge=0)] | None = None
    dead_letters: list[DeadLetter] | None = None
    alerts: list[Alert] | None = None

    def stream(self) -> list[tuple[int, bytes]]:
        """Time in ms and bytes of each line, in the order of `at`."""
        start = int(self.received.timestamp() * 1000)
        found = [each for entry in self.lines for each in _expanded(entry, start)]
        return sorted(found, key=lambda each: each[0])


class PipelineTests(Strict):
    """A file of tests."""

    tests: Annotated[list[PipelineTest], Field(min_length=1)]


class Read(NamedTuple):
    """A file of tests that was read: what is left of its tests without the `problems` in it."""

    tests: list[PipelineTest]
    problems: list[str]
    document: Document | None


def read_tests(path: Path) -> Read:
    """The tests of a file, and every mistake in it, each with its line."""
    problems: list[str] = []
    try:
        document = read(path, problems)
    except SourceError as error:
        return Read([], [*problems, *error.problems], None)
    found, mistakes = fitted(document, PipelineTests, "docs/testing.md")
    return Read(found.tests if found else [], problems + mistakes, document)


def _expanded(entry: str | Lines, start: int) -> Iterator[tuple[int, bytes]]:
    if isinstance(entry, str):
        yield start, entry.encode()
        return
    for number in range(entry.repeat):
        time = start + entry.at + number * entry.every
        yield time, _written(entry.line, number, time).encode()


def _written(line: str, number: int, time: int) -> str:
    moment = datetime.fromtimestamp(time / 1000, UTC)

    def value(found: re.Match[str]) -> str:
        if found[0].startswith("{n"):
            return str(number % int(found[1]) if found[1] else number)
        return moment.strftime(found[2] or "%Y-%m-%dT%H:%M:%S.%fZ")

    return TOKEN.sub(value, line)
