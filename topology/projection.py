"""Which attributes a tenant's events have: only some, or all but some, and what OCSF asks for.

What is kept is decided by names alone, so that an event does not depend on the events around it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas import ocsf
from topology.mask import attribute_of

ALWAYS: Final = (
    "time",
    "activity_id",
    "category_uid",
    "class_uid",
    "severity_id",
    "type_uid",
    "metadata.version",
    "metadata.uid",
    "metadata.profiles",
    "metadata.product.name",
    "actor.app_name",
    "privileges",
    "group.name",
    "group.uid",
    "http_request.http_method",
    "http_request.url.url_string",
)
"""What events keep: OCSF requires it, of every class, or as one of what a class may choose from
(an actor, what a session was authorized for, a request); `metadata.uid` is how one is known again.
"""
OBJECTS: Final = (
    "actor.user",
    "actor.process",
    "api",
    "device",
    "dst_endpoint",
    "file",
    "process",
    "service",
    "src_endpoint",
    "user",
)
"""Objects that the classes of schemas/ocsf.py require; of these remains what IDENTIFYING says."""
IDENTIFYING: Final = {
    "api": ("operation",),
    "connection_info": ("direction_id",),
    "device": ("type_id", "hostname", "ip", "name", "uid"),
    "endpoint": ("hostname", "interface_name", "ip", "name", "svc_name", "uid"),
    "file": ("name", "type_id"),
    "file_result": ("name", "type_id"),
    "process": ("pid", "uid"),
    "resources": ("name", "uid"),
    "service": ("name", "uid"),
    "user": ("name", "uid"),
}
"""By the end of an object's name: what OCSF requires of one that is there, or one of them."""
PATTERN: Final = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?")
MOST_REMEMBERED: Final = 256


def valid(pattern: str) -> bool:
    """Whether this is an attribute, or an object with `.*`, that events may have."""
    return PATTERN.fullmatch(pattern) is not None and ocsf.is_written(pattern)


def always(attribute: str) -> bool:
    """Whether an attribute is kept whatever a tenant chooses."""
    return attribute in ALWAYS or attribute in {
        f"{name}.{last}" for name in OBJECTS for last in _identifying(name)
    }


@dataclass(frozen=True, slots=True)
class Projection:
    """`patterns` are attributes and objects (`file.*`, or `file`); `keep`: only these, else all but
    these."""

    patterns: tuple[str, ...]
    keep: bool
    _known: dict[tuple[str, ...], frozenset[str]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def without(self, columns: Sequence[str]) -> frozenset[str]:
        """Those of a frame's columns that are not written."""
        names = tuple(columns)
        if names not in self._known:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[names] = self._without(names)
        return self._known[names]

    def _without(self, columns: Sequence[str]) -> frozenset[str]:
        attributes = {name: attribute_of(name) for name in columns if ocsf.is_written(name)}
        kept = {
            each for each in attributes.values() if self._chosen(each) == self.keep or always(each)
        }
        needed = {
            f"{above}.{last}"
            for each in kept
            for above in _above(each)
            for last in _identifying(above)
        }
        return frozenset(
            name for name, each in attributes.items() if each not in kept and each not in needed
        )

    def _chosen(self, attribute: str) -> bool:
        stems = [pattern.removesuffix(".*") for pattern in self.patterns]
        return any(attribute == stem or attribute.startswith(f"{stem}.") for stem in stems)


def _above(attribute: str) -> Iterator[str]:
    """The objects that an attribute is in."""
    while "." in attribute:
        attribute = attribute.rpartition(".")[0]
        yield attribute


def _identifying(name: str) -> tuple[str, ...]:
    last = name.rpartition(".")[2]
    return next(
        (
            members
            for end, members in IDENTIFYING.items()
            if last == end or last.endswith(f"_{end}")
        ),
        (),
    )
