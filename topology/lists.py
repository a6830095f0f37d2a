"""Active lists: what northbound.yaml declares of them, and what rules do to them.

An entry of a list is a key with some values, from the event that made it until its TTL is over. The
entries of a key are in the partition of `matches` that the key belongs to, in event-time order; so
is whatever asks for them (topology/active_lists.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

LIST: Final = "\2"
"""Begins what stands for a list where a rule's id is expected: in keys and in watermarks."""
SHARED: Final = "*"
"""Stands for the tenant of a list that all share; no tenant has this name."""

Action: TypeAlias = Literal["in", "not_in", "remove", "add"]
ACTIONS: Final[tuple[Action, ...]] = ("in", "not_in", "remove", "add")
TESTS: Final[tuple[Action, ...]] = ("in", "not_in")


@dataclass(frozen=True, slots=True)
class OnAlert:
    """What final alerts do to a list, of rules that meet everything which is said.

    `key` and `values`: for each part of the list's key, and each value, what the rule calls the
    field, or the event attribute. `rules`: ids or names, None: any; `without`: those of rules that
    it is not for; `tags`: one of which a rule has to have, None: any; `level`: the least. `ttl_ms`
    is for `add`.
    """

    action: Literal["add", "remove"]
    key: tuple[str, ...]
    values: tuple[str, ...] = ()
    ttl_ms: int | None = None
    rules: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None
    level: str = "informational"


@dataclass(frozen=True, slots=True)
class ActiveList:
    """A list. `key`: what the parts of its key are called. `ttl_ms`: how long an entry stays where
    the rule that adds it does not say; None: until it is removed. `shared`: tenants see each
    other's entries. `alerts`: what alerts do to it, whatever their rules say."""

    name: str
    key: tuple[str, ...]
    ttl_ms: int | None = None
    shared: bool = False
    alerts: tuple[OnAlert, ...] = ()

    def scope(self, tenant: str) -> str:
        """Whose entries a tenant's events meet."""
        return SHARED if self.shared else tenant


@dataclass(frozen=True, slots=True)
class Step:
    """What a match of a rule does to a list, or asks it.

    `key` and `values`: for each part of the key, and each value that is kept with its name, event
    columns of which the first with a value counts. A correlation has `places` in its group instead,
    one for each part of the key and then one for each value. `ttl_ms` is for `add`.
    """

    action: Action
    list: ActiveList
    key: tuple[tuple[str, ...], ...] = ()
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    places: tuple[int, ...] = ()
    ttl_ms: int | None = None

    @property
    def tests(self) -> bool:
        """Whether it asks and changes nothing."""
        return self.action in TESTS

    def same_entry(self, other: "Step") -> bool:
        """Whether it is about the entry that another step of the rule is about."""
        return self._entry() == other._entry()  # noqa: SLF001  # of its own kind

    def _entry(self) -> tuple[object, ...]:
        return self.list.name, self.key, self.places[: len(self.list.key)]


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """A rule's steps as they are done: its tests, of which that of an entry that is changed
    afterwards comes last, so that both are done together; then the changes."""
    found = list(steps)
    changed = [step for step in found if not step.tests]

    def place(step: Step) -> tuple[bool, bool]:
        return not step.tests, step.tests and any(map(step.same_entry, changed))

    return tuple(sorted(found, key=place))


def tests(steps: tuple[Step, ...]) -> int:
    """How many of a rule's steps are tests; those come first."""
    return sum(step.tests for step in steps)


def before(steps: tuple[Step, ...], at: int) -> Step | None:
    """The test that has to be passed before a step; None: the match itself is enough."""
    last = min(at, tests(steps)) - 1
    return steps[last] if last >= 0 else None
