"""Rules that change while a worker runs: their files, read again in the background.

Lists that are added to northbound.yaml are taken up with the rules. The first of all needs a store
and its changelog, and lists that change or go may lose entries: those wait for a restart, and
`problems` says so.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.config import Config, ConfigError, load
from app.reloading import RESTART, Reloading, Stamp, file_stamp
from app.rules import configured, rule_files, unknown_in_lists
from topology.match.documents import RuleErrors
from topology.match.ruleset import RuleSet
from topology.rules import Correlation, EventRule

log = logging.getLogger(__name__)

Entry = TypeVar("Entry", EventRule, Correlation)


class ReloadingRules:
    """The rules of a worker. `look` from time to time, by one thread."""

    def __init__(self, config: Config, rules: RuleSet) -> None:
        """`rules`: those that the worker began with, as `config` names them."""
        self.current = rules
        self._config = config
        self._waiting: str | None = None
        paths = [config.path(path) for path in config.all_rules]
        self._stamp = partial(_stamp, paths)
        self._rules_stamp = self._stamp()
        self._files: Reloading[RuleSet] = Reloading(
            paths[0] if paths else config.path(Path()),
            self._load,
            lambda _: (*self._stamp(), file_stamp(config.file)),
        )

    @property
    def lists(self) -> list[str]:
        """Names of the lists in use."""
        return [each.name for each in self.current.rules.lists]

    @property
    def problems(self) -> list[str]:
        """Why rules and lists in the files are not in use, with what to do."""
        found = [self._waiting, self._files.problem]
        return [each for each in found if each is not None]

    def look(self) -> Mapping[str, list[str]] | None:
        """Read rules again if a file changed.

        Returns the titles of rules that were `added`, `removed` and `changed` when they were, and
        the names of new `lists` if there are any.
        """
        if not self._files.look():
            return None
        before, now = self.current, self._files.current
        stamp, same = self._stamp(), before.rules.lists == now.rules.lists
        if same and stamp == self._rules_stamp:
            return None  # something else in northbound.yaml
        self._rules_stamp, self.current = stamp, now
        found = differences(before, now)
        known = {each.name for each in before.rules.lists}
        if lists := [name for name in self.lists if name not in known]:
            found["lists"] = lists
        return found

    def _load(self) -> RuleSet:
        """Raises ValueError for rules that cannot be used, with what they wait for."""
        before = self._waiting
        config, self._waiting = _with_new_lists(self._config)
        if self._waiting not in {None, before}:
            log.warning("Lists have changed and are not in use. %s", self._waiting)
        problems: list[str] = []
        try:
            rules = configured(config)
        except RuleErrors as error:
            problems = error.problems
        else:
            problems = unknown_in_lists(config, rules)
        if problems:
            raise ValueError("; ".join(problems))
        self._config = config
        return rules


def _with_new_lists(config: Config) -> tuple[Config, str | None]:
    """The configuration with lists that were added to its file, and what has to wait for a restart.

    A file that is wrong now has no lists of use; commands and the ingest agent say what is wrong.
    """
    try:
        newer = load(config.file)
    except ConfigError:
        return config, None
    before, now = config.active_lists, newer.active_lists
    added = [name for name in now if name not in before]
    waiting = [name for name, listed in before.items() if now.get(name) != listed]
    if not before:
        waiting, added = added, []
    if not waiting:
        return config.with_lists_of(newer, added), None
    text = (
        f"{newer.file}: lists: {', '.join(waiting)}: {'the first' if not before else 'changed'}; "
        f"workers take up the first list, and lists that change or go, when they start. {RESTART}"
    )
    return config.with_lists_of(newer, added), text


def differences(before: RuleSet, after: RuleSet) -> dict[str, list[str]]:
    """Titles of the rules that are in one set and not in the other, or say something else there."""
    old, new = _contents(before), _contents(after)
    return {
        "added": [new[key][0] for key in new.keys() - old.keys()],
        "removed": [old[key][0] for key in old.keys() - new.keys()],
        "changed": [new[key][0] for key in new.keys() & old.keys() if new[key] != old[key]],
    }


def _contents(rules: RuleSet) -> dict[str, tuple[str, object]]:
    """Title and content of each rule by its id; where it stands in its file does not matter."""
    events, steps = rules.rules.events, rules.rules.steps
    found: dict[str, tuple[str, object]] = {
        entry.rule.id: (
            entry.rule.title,
            (_placeless(entry), rules.condition(index), steps.get(entry.rule.id)),
        )
        for index, entry in enumerate(events)
    }
    for correlation in rules.rules.correlations:
        members = tuple(events[member].rule.id for member in correlation.members)
        content = replace(_placeless(correlation), members=())
        changes = steps.get(correlation.rule.id)
        found[correlation.rule.id] = correlation.rule.title, (content, members, changes)
    return found


def _placeless(entry: Entry) -> Entry:
    return replace(entry, rule=replace(entry.rule, path="", line=0))


def _stamp(paths: list[Path]) -> Stamp:
    """Of all files of rules."""
    return tuple((str(file), file_stamp(file)) for file in dict.fromkeys(rule_files(paths)))
