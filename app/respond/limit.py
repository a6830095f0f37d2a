"""At most so many notifications of a rule in a time; the rest is counted and summed up.

A rule's time begins with the first one that is told. Those that are too many until it is over are
told in one summary behind it. What was told and counted is on disk before Kafka's offsets go on, so
that a process that is killed neither tells more nor forgets what it counted. Processes of one host
read there what the others have told, and take over what those that are gone have counted. Time is
given.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from app.deliver.destination import UnreachableError
from app.respond.notification import Notification, flat, made
from app.respond.texts import iso
from topology.northbound.finding import SEVERITIES

SUMMARY: Final = "summary"
REMEMBERED: Final = 1000
"""Keys of the newest notifications, so that those read again after a kill do not count twice."""
LINKED: Final = 100
"""Alerts that a summary names by uid."""
PROCESSES: Final = 100
LOOK_MS: Final = 1000
"""How often it is looked what other processes have told."""


@dataclass(slots=True)
class Window:
    """Of one rule. Milliseconds of the epoch; `told` and `held` are counts, `newest` is the JSON of
    the last alert that was held back."""

    begun: int
    told: int = 0
    held: int = 0
    since: int = 0
    until: int = 0
    severity: int = 0
    uids: list[str] = field(default_factory=list)
    newest: str = ""


class Limits:
    """Of one response in the processes of a host. `now`: milliseconds of the epoch."""

    def __init__(
        self, response: str, most: int, per_ms: int, folder: Path, now: Callable[[], int]
    ) -> None:
        self._response = response
        self._most, self._per_ms = most, per_ms
        self._folder = folder
        self._now = now
        self._windows: dict[str, Window] = {}
        self._keys: dict[str, None] = {}
        self._others: list[dict[str, Window]] = []
        self._looked = 0
        self._file = Path()
        self._lock = -1
        self.dirty = False
        """Whether the disk does not have everything."""

    def open(self) -> None:
        """Take up what this process, or one that is gone, has counted. Raises UnreachableError."""
        if self._lock >= 0:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in range(PROCESSES):
                self._file = self._folder / f"{self._response}.{number}.json"
                self._lock = self._locked(self._file)
                if self._lock >= 0:
                    break
            else:
                raise UnreachableError(f"{self._folder}: {PROCESSES} processes run this response")
            self._load(self._file)
        except OSError as error:
            raise UnreachableError(f"{error.filename}: {error.strerror}") from None
        self._look()

    def look(self) -> None:
        """Learn what other processes have told, once a second. Raises UnreachableError."""
        if not 0 <= self._now() - self._looked < LOOK_MS:
            self._look()

    def _look(self) -> None:
        self._looked = self._now()
        self._others = []
        try:
            for file in sorted(self._folder.glob(f"{self._response}.*.json")):
                if file != self._file and not self._take_over(file):
                    self._others.append(_read(file)[0])
        except OSError as error:
            raise UnreachableError(f"{error.filename}: {error.strerror}") from None

    def _take_over(self, file: Path) -> bool:
        """What a process has counted, if it is gone."""
        lock = self._locked(file)
        if lock < 0:
            return False
        before = dict(self._windows), dict(self._keys)
        try:
            self._load(file)
            self.keep()
            file.unlink(missing_ok=True)
        except (OSError, UnreachableError):
            self._windows, self._keys = before  # it is still there, and counts once
            raise
        finally:
            os.close(lock)
        return True

    def close(self) -> None:
        """Leave it to others; what the disk does not take stays here, so that nothing is told once
        more at each try while the disk is full."""
        if self._lock >= 0:
            if self.dirty:
                try:
                    self.keep()
                except UnreachableError:
                    return
            os.close(self._lock)
            self._lock = -1
        self._windows, self._keys, self._others = {}, {}, []
        self.dirty = False

    def knows(self, key: str) -> bool:
        """Whether this was told or counted already."""
        return key in self._keys

    def allows(self, rule: str) -> bool:
        """Whether one more of a rule may be told now."""
        mine = self._windows.get(rule)
        windows = [mine, *(each.get(rule) for each in self._others)]
        told = sum(each.told for each in windows if each is not None and not self._over(each))
        return told < self._most

    def told(self, alert: Notification) -> None:
        """It was told."""
        window = self._windows.get(alert.rule)
        if window is None or (self._over(window) and not window.held):
            window = self._windows[alert.rule] = Window(begun=self._now())
        window.told += 1
        self._remember(alert.key)

    def held(self, alert: Notification) -> None:
        """It was one too many."""
        window = self._windows.get(alert.rule)
        if window is None:  # others have told so many
            window = self._windows[alert.rule] = Window(begun=self._now())
        begin, end = (_moment(alert, name) for name in ("start_time", "end_time"))
        window.since = min(window.since, begin) if window.held else begin
        window.until = max(window.until, end)
        window.held += 1
        window.severity = max(window.severity, alert.severity)
        if len(window.uids) < LINKED:
            window.uids.append(alert.uid)
        window.newest = alert.value.decode()
        self._remember(alert.key)

    def due(self) -> Iterator[tuple[str, Notification]]:
        """Summaries of windows that are over, by rule; windows without one end."""
        for rule, window in list(self._windows.items()):
            if not self._over(window):
                continue
            if window.held:
                yield rule, summary(window, self._response, rule, self._most)
            else:
                del self._windows[rule]
                self.dirty = True

    def summed_up(self, rule: str) -> None:
        """The summary of a rule was told."""
        del self._windows[rule]
        self.dirty = True

    def keep(self) -> None:
        """To disk. Raises UnreachableError."""
        content = {
            "windows": {rule: asdict(window) for rule, window in self._windows.items()},
            "keys": list(self._keys),
        }
        fresh = self._file.with_suffix(".new")
        try:
            opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                view = memoryview(orjson.dumps(content))
                while view:
                    view = view[os.write(opened, view) :]
                os.fsync(opened)
            finally:
                os.close(opened)
            fresh.replace(self._file)
        except OSError as error:
            raise UnreachableError(f"{fresh}: {error.strerror}") from None
        self.dirty = False

    def _over(self, window: Window) -> bool:
        """Also where the clock was set back by more than that, as after a start with a wrong one:
        what was held back would else be until the clock is there again."""
        return not -self._per_ms < self._now() - window.begun < self._per_ms

    def _remember(self, key: str) -> None:
        self.dirty = True
        self._keys[key] = None
        while len(self._keys) > REMEMBERED:
            del self._keys[next(iter(self._keys))]

    @staticmethod
    def _locked(file: Path) -> int:
        """-1: another has it."""
        lock = os.open(file.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return -1
        return lock

    def _load(self, file: Path) -> None:
        """What is in a file, beside what is known already."""
        windows, keys = _read(file)
        for rule, window in windows.items():
            mine = self._windows.get(rule)
            self._windows[rule] = window if mine is None else _together(mine, window)
        self._keys |= keys


def _read(file: Path) -> tuple[dict[str, Window], dict[str, None]]:
    """What a file has, nothing if it is not there. Raises OSError, UnreachableError."""
    try:
        content = orjson.loads(file.read_bytes())
        windows = {rule: Window(**each) for rule, each in content["windows"].items()}
        return windows, dict.fromkeys(content["keys"])
    except FileNotFoundError:
        return {}, {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnreachableError(f"{file}: cannot be read; remove it") from None


def _together(one: Window, other: Window) -> Window:
    """Of two processes."""
    both = [each for each in (one, other) if each.held] or [one]
    return Window(
        begun=min(one.begun, other.begun),
        told=one.told + other.told,
        held=one.held + other.held,
        since=min(each.since for each in both),
        until=max(each.until for each in both),
        severity=max(one.severity, other.severity),
        uids=[*one.uids, *other.uids][:LINKED],
        newest=one.newest or other.newest,
    )


def summary(window: Window, response: str, rule: str, most: int) -> Notification:
    """What is told of those that were too many, with the attributes of an alert that all of them
    have; `count` is how many alerts they are, `unmapped.alerts` the uids of the first."""
    newest = orjson.loads(window.newest)
    finding = newest.get("finding_info", {})
    unmapped = newest.get("unmapped", {})
    uid = f"{window.uids[0]}.{window.begun}"
    title = finding.get("title", rule)
    members = {
        "count": window.held,
        "end_time": window.until,
        "finding_info": {
            **{name: finding[name] for name in ("analytic", "attacks") if name in finding},
            "title": title,
            "uid": uid,
        },
        "message": f"{title}: {window.held} more alert{'' if window.held == 1 else 's'} from "
        f"{iso(window.since)} to {iso(window.until)}, beside {most} that were told one by one",
        "metadata": {
            **newest.get("metadata", {}),
            "uid": f"{uid}-{SUMMARY}",
        },
        "severity": dict(SEVERITIES.values()).get(window.severity, "Unknown"),
        "severity_id": window.severity,
        "start_time": window.since,
        "time": window.until,
        "unmapped": {
            "alerts": window.uids,
            "northbound_kind": SUMMARY,
            "rule": unmapped.get("rule", {"id": rule}),
            "state": SUMMARY,
        },
    }
    value = orjson.dumps(members)
    return made(value, dict(flat(members)), response, SUMMARY, uid)


def _moment(alert: Notification, name: str) -> int:
    found: Any = alert.attributes.get(name, alert.attributes.get("time"))
    return found if isinstance(found, int) else 0
