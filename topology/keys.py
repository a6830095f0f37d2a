"""Keys of groups, the same in `matches` and in stores, so that a group's state is always local."""

import re
from functools import lru_cache

from schemas import packed

SUFFIX = 9
"""Bytes that follow a group's key in a store: the kind of entry, and a number."""
REMEMBERED = 512
"""Characters of a group up to which its key is remembered: many thousands of long ones, which one
sender can make, would take a worker's memory."""
ESCAPED = re.compile(r"\\[\\0]")
ESCAPES = {"\\\\": "\\", "\\0": "\0"}


def group_key(tenant: str, rule: str, group: tuple[str, ...]) -> bytes:
    """Key of a group in `matches` and in stores; the tenant comes first, NUL separates."""
    text = "\0".join((tenant, rule, *group))
    if "\\" in text or text.count("\0") > len(group) + 1:
        escaped = [part.replace("\\", "\\\\").replace("\0", "\\0") for part in group]
        text = "\0".join((tenant, rule, *escaped))
    return text.encode()


def group_of(key: bytes) -> tuple[str, str, tuple[str, ...]]:
    """Tenant, rule and group of a key."""
    tenant, rule, *group = key.decode().split("\0")
    if b"\\" in key:
        group = [ESCAPED.sub(lambda found: ESCAPES[found[0]], part) for part in group]
    return tenant, rule, tuple(group)


def rule_of(key: bytes) -> bytes:
    """The beginning of a group's key that names tenant and rule, with the NUL between them."""
    end = key.find(b"\0", key.find(b"\0") + 1)
    return key if end < 0 else key[:end]


def named_by(key: bytes) -> str:
    """The rule of a group's key."""
    _, _, name = rule_of(key).partition(b"\0")
    return name.decode(errors="replace")


def opened(schema: str, tenant: str, name: str, group: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Key and beginning of a Partial or Tally."""
    if sum(map(len, group)) > REMEMBERED:
        return _opened.__wrapped__(schema, tenant, name, group)
    return _opened(schema, tenant, name, group)


@lru_cache(maxsize=65_536)
def _opened(schema: str, tenant: str, name: str, group: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Groups come back from batch to batch."""
    return group_key(tenant, name, group), packed.head(schema, tenant, name, group)
