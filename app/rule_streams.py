"""The streams that rules are tested with: a few lines of YAML become log lines.

```yaml
lines:
  failed:
    normalizer: sshd
    line: '<38>1 {time} web1 sshd 812 - - Failed password for {user} from {ip} port 4022 ssh2'
tests:
  - name: what happens
    events:
      - {line: failed, repeat: 30, every: 10s, user: 'user{n%4}', ip: 203.0.113.9}
      - {at: 5m, repeat: 100, every: 500ms, operation: fs_delete, path: '/a/{n}.txt'}
    alerts:
      - {title: Mass delete by one user, group: {user: 'AD\\alice'}, count: 100}
```
An entry of `events` is one kind of line: a Qumulo audit record in the rules' own field names, or,
with `line`, one of `lines`, with a value for each `{name}` in it. `repeat` (1) of them come `every`
(1s) from `at` (0s) on; `{n}` counts them from 0 and `{n%4}` does so modulo 4. In a line `{time}` is
its moment as in RFC 3339, `{time:%b %d}` in another form, and `{ms}` in milliseconds.
`normalizer` is one in normalizers/ or a path from the file; a line without one is a Qumulo
cluster's. An alert names its rule; `group` and `count` are compared where given.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import Field

from app.config import ConfigError, in_file_order
from app.config.connection import UNREADABLE, Strict
from app.config.fields import duration
from app.config.shape import fitted
from app.yaml_source import Document, SourceError, read

START_MS = int(datetime(2026, 11, 20, 9, 0, tzinfo=UTC).timestamp() * 1000)
SHIPPED = Path(__file__).parents[1] / "normalizers"
RECORD = {
    "user_ip": "10.220.151.129",
    "user": "AD\\alice",
    "protocol": "smb2",
    "operation": "",
    "status": "ok",
    "object_id": "140624751830626345080086044861",
    "path": "",
    "target_path": "",
}
"""What an event is where its entry does not say otherwise; in the order of the CSV body."""
QUOTED = {"user", "path", "target_path"}
TIMED = ("at", "repeat", "every")
COUNTER = re.compile(r"\{n(?:%(\d+))?\}")
NAMED = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


class Template(NamedTuple):
    """A line with `{names}` in it; `normalizer` None: of a Qumulo cluster."""

    text: str
    normalizer: Path | None


class Line(NamedTuple):
    """A log line at a moment (ms), and the file of the normalizer that reads it."""

    time: int
    text: bytes
    normalizer: Path | None


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """An alert that has to come; None means that it may be anything."""

    title: str
    group: Mapping[str, str] | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A stream and all the final alerts it leads to."""

    rule: str
    name: str
    events: Sequence[Mapping[str, Any]]
    alerts: Sequence[ExpectedAlert] = field(default=())
    templates: Mapping[str, Template] = field(default_factory=dict)

    def lines(self) -> list[Line]:
        """All lines in the order of time."""
        found = [line for entry in self.events for line in _lines(entry, self.templates)]
        return sorted(found, key=lambda line: line.time)


class LineEntry(Strict):
    """One of `lines`."""

    line: str
    normalizer: str | None = None


class AlertEntry(Strict):
    """One of `alerts`."""

    title: str
    group: dict[str, Any] | None = None
    count: int | None = None


class StreamEntry(Strict):
    """One of `tests`."""

    stand_in = MappingProxyType({"name": UNREADABLE, "events": [], "alerts": []})
    name: str
    events: list[dict[str, Any]]
    alerts: list[AlertEntry]


class StreamFile(Strict):
    """A file of streams."""

    lines: dict[str, LineEntry] = Field(default_factory=dict)
    tests: list[StreamEntry]


def read_tests(path: Path) -> list[RuleTest]:
    """The tests of one file. Raises ConfigError with every mistake in it, each with its line."""
    problems: list[str] = []
    try:
        document = read(path, problems)
    except SourceError as error:
        raise ConfigError(error.problems) from None
    file, found = fitted(document, StreamFile, "docs/detection.md")
    problems += found
    if file is not None:
        problems += _problems(path, document, file)
    if problems or file is None:
        raise ConfigError(in_file_order(problems))
    templates = {
        name: Template(each.line, _normalizer(path, each)) for name, each in file.lines.items()
    }
    return [
        RuleTest(
            path.stem,
            entry.name,
            entry.events,
            [ExpectedAlert(each.title, each.group, each.count) for each in entry.alerts],
            templates,
        )
        for entry in file.tests
    ]


def _problems(path: Path, document: Document, file: StreamFile) -> Iterator[str]:
    """Normalizers that are not there, and entries that say something else than their lines have."""
    for name, given in file.lines.items():
        found = _normalizer(path, given)
        if found is not None and not found.is_file():
            known = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.yaml")))
            text = f"saw {given.normalizer!r}, expected the path of a .yaml file from here, or one"
            yield document.problem(("lines", name, "normalizer"), f"{text} of {known}")
    templates = {name: Template(each.line, None) for name, each in file.lines.items()}
    for number, test in enumerate(file.tests):
        for place, entry in enumerate(test.events):
            at = ("tests", number, "events", place)
            named = str(entry.get("line", ""))
            if document.unsure(at) or (named and document.unsure(("lines", named))):
                continue
            try:
                next(_lines(entry, templates), None)
            except ValueError as error:
                yield document.problem(at, str(error))


def _normalizer(path: Path, given: LineEntry) -> Path | None:
    """The file of a line's normalizer, which may not be there."""
    named = given.normalizer
    if named is None:
        return None
    return path.parent / named if named.endswith(".yaml") else SHIPPED / f"{named}.yaml"


def _lines(entry: Mapping[str, Any], templates: Mapping[str, Template]) -> Iterator[Line]:
    template = None
    if "line" in entry:
        template = templates.get(entry["line"])
        if template is None:
            raise ValueError(f"saw line {entry['line']!r}, expected one of {list(templates)}")
        known = {*(name for name, _ in NAMED.findall(template.text)), "line"} - {"time", "ms"}
    else:
        known = set(RECORD)
    if unknown := set(entry) - known - set(TIMED):
        raise ValueError(f"saw {sorted(unknown)}, expected {[*sorted(known), *TIMED]}")
    times = {"at": "0s", "every": "1s"}
    start, every = (_time(key, entry.get(key, usual)) for key, usual in times.items())
    repeat = entry.get("repeat", 1)
    if not isinstance(repeat, int) or repeat < 1:
        raise ValueError(f"repeat: saw {repeat!r}, expected a whole number, such as 100")
    for number in range(repeat):
        time = START_MS + start + number * every
        values = {
            name: _counted(str(entry.get(name, RECORD.get(name, f"{{{name}}}"))), number)
            for name in known - {"line"}
        }
        if template is None:
            yield Line(time, _record(time, values), None)
        else:
            text = _filled(_counted(template.text, number), time, values)
            yield Line(time, text.encode(), template.normalizer)


def _time(key: str, value: object) -> int:
    try:
        return duration(value)
    except ValueError as error:
        raise ValueError(f"{key}: saw {value!r}, {error}") from None


def _record(time: int, values: Mapping[str, str]) -> bytes:
    body = ",".join(
        '"' + values[name].replace('"', '""') + '"' if name in QUOTED else values[name]
        for name in RECORD
    )
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return f"<14>1 {moment:%Y-%m-%dT%H:%M:%S.%f}Z demo-nas-1 qumulo - - - {body}".encode()


def _filled(text: str, time: int, values: Mapping[str, str]) -> str:
    moment = datetime.fromtimestamp(time / 1000, UTC)

    def value(found: re.Match[str]) -> str:
        name, form = found[1], found[2]
        if name == "time":
            return moment.strftime(form or "%Y-%m-%dT%H:%M:%S.%fZ")
        return str(time) if name == "ms" else values.get(name, found[0])

    filled = NAMED.sub(value, text)
    if missing := [name for name, _ in NAMED.findall(text) if values.get(name) == f"{{{name}}}"]:
        raise ValueError(f"nothing is said about {missing}, which the line has")
    return filled


def _counted(text: str, number: int) -> str:
    def counted(found: re.Match[str]) -> str:
        modulus = int(found[1] or 0)
        if found[1] and not modulus:
            raise ValueError(f"saw {found[0]!r}, expected a modulus of at least 1")
        return str(number % modulus if modulus else number)

    return COUNTER.sub(counted, text)
