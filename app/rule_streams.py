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
from typing import Any, NamedTuple

import yaml

from app.config.fields import duration

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


def read_tests(path: Path) -> list[RuleTest]:
    """The tests of one file; a mistake in it raises ValueError."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not {"tests"} <= set(content) <= {"tests", "lines"}:
        raise ValueError(f"{path}: expected the key tests, lines beside it, and nothing else")
    templates = {
        name: _template(path, name, given) for name, given in content.get("lines", {}).items()
    }
    return [
        RuleTest(
            path.stem,
            entry["name"],
            entry["events"],
            [ExpectedAlert(**alert) for alert in entry["alerts"]],
            templates,
        )
        for entry in content["tests"]
    ]


def _template(path: Path, name: str, given: Any) -> Template:
    if not isinstance(given, dict) or not {"line"} <= set(given) <= {"line", "normalizer"}:
        raise ValueError(f"{path}: lines.{name}: saw {given!r}, expected line and normalizer")
    named = given.get("normalizer")
    if named is None:
        return Template(given["line"], None)
    file = path.parent / named if named.endswith(".yaml") else SHIPPED / f"{named}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.yaml")))
        raise ValueError(
            f"{path}: lines.{name}.normalizer: saw {named!r}, expected the path of a .yaml file "
            f"from here, or one of {known}"
        )
    return Template(given["line"], file)


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
    start, every = duration(entry.get("at", "0s")), duration(entry.get("every", "1s"))
    for number in range(entry.get("repeat", 1)):
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
    return COUNTER.sub(lambda found: str(number % int(found[1]) if found[1] else number), text)
