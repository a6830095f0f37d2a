"""The streams that Qumulo rules are tested with: a few lines of YAML become audit lines.

```yaml
tests:
  - name: what happens
    events:
      - {at: 0s, repeat: 100, every: 500ms, operation: fs_delete, path: '/a/{n}.txt'}
    alerts:
      - {title: Mass delete by one user, group: {user: 'AD\\alice'}, count: 100}
```
An entry of `events` is one kind of audit record, in the rules' own field names. `repeat` (1) of
them come `every` (1s) from `at` (0s) on; `{n}` counts them from 0 and `{n%4}` does so modulo 4. An
alert names its rule; `group` and `count` are compared where given.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from app.config.fields import duration

START_MS = int(datetime(2026, 11, 20, 9, 0, tzinfo=UTC).timestamp() * 1000)
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
COUNTER = re.compile(r"\{n(?:%(\d+))?\}")


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

    def lines(self) -> list[tuple[int, bytes]]:
        """Time in ms and RFC 5424 line of each event, in the order of time."""
        found = [line for entry in self.events for line in _lines(entry)]
        return sorted(found, key=lambda line: line[0])


def read_tests(path: Path) -> list[RuleTest]:
    """The tests of one file; a mistake in it raises ValueError."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or set(content) != {"tests"}:
        raise ValueError(f"{path}: expected the key tests and nothing else")
    return [
        RuleTest(
            path.stem,
            entry["name"],
            entry["events"],
            [ExpectedAlert(**alert) for alert in entry["alerts"]],
        )
        for entry in content["tests"]
    ]


def _lines(entry: Mapping[str, Any]) -> Iterator[tuple[int, bytes]]:
    unknown = set(entry) - set(RECORD) - {"at", "repeat", "every"}
    if unknown:
        raise ValueError(f"saw {sorted(unknown)}, expected {[*RECORD, 'at', 'repeat', 'every']}")
    start, every = duration(entry.get("at", "0s")), duration(entry.get("every", "1s"))
    for number in range(entry.get("repeat", 1)):
        time = START_MS + start + number * every
        values = {name: _counted(str(entry.get(name, RECORD[name])), number) for name in RECORD}
        body = ",".join(
            '"' + value.replace('"', '""') + '"' if name in QUOTED else value
            for name, value in values.items()
        )
        stamp = datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        yield time, f"<14>1 {stamp}Z demo-nas-1 qumulo - - - {body}".encode()


def _counted(text: str, number: int) -> str:
    return COUNTER.sub(lambda found: str(number % int(found[1]) if found[1] else number), text)
