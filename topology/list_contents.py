"""Records of `matches` about lists, one by one (topology/list_records.py says what is in)."""

import struct
from collections.abc import Mapping, Sequence

import orjson

from schemas import packed
from topology.correlate.list_key import Content
from topology.keys import group_key
from topology.lists import LIST, ActiveList, Step


def change(step: Step, by: str, values: Mapping[str, str | None]) -> Content:
    """What a step that is no test does; `by`: the rule."""
    if step.action != "add":
        return {"a": step.action, "r": by}
    return {"a": step.action, "r": by, "t": step.ttl_ms, "v": values}


def record_of(
    tenant: str, step: Step, key: tuple[str, ...], time: int, uid: str, content: Content
) -> tuple[bytes, bytes]:
    """Key and Partial of something to be done; of a shared list, on behalf of the tenant."""
    if step.list.shared:
        content = {**content, "n": tenant}
    return record(step.list.scope(tenant), step.list, key, time, uid, content)


def record(
    scope: str, listed: ActiveList, key: tuple[str, ...], time: int, uid: str, content: Content
) -> tuple[bytes, bytes]:
    """Key and Partial for `matches` of something to be done with a key of a list."""
    members = (struct.pack("<q", time), uid.encode(), orjson.dumps([_json(content)]), b"")
    opening = packed.head("Partial", scope, LIST + listed.name, key)
    whole = packed.partial(opening, members, packed.text(""))
    return group_key(scope, LIST + listed.name, key), whole


def _json(content: Content) -> str:
    return orjson.dumps(content).decode()


def placed(found: Mapping[str, str | None] | None) -> list[str | None]:
    """An object of texts by place, as a list."""
    return [(found or {}).get(str(place)) for place in range(len(found or {}))]


def texts(parts: Sequence[str | None]) -> tuple[str, ...]:
    """Parts of which none is missing."""
    return tuple(str(part) for part in parts)
