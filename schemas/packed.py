"""Fast paths for the schemas of `matches` that the hot path writes: Partial, Tally, PartialBatch.

Same bytes as schemas.codec, an order of magnitude sooner: the part that names the group is made
once, the rest is lengths and bytes put after each other (Avro 1.12, "Binary Encoding").
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from schemas.codec import HEADER, header


class Partial(NamedTuple):
    """A decoded Partial; see partial.v1.avsc. Members are as on the wire, names decoded."""

    tenant: str
    rule: str
    group: tuple[str, ...]
    times: bytes
    uids: bytes
    values: bytes
    evidence: bytes
    source: str


class Tally(NamedTuple):
    """A decoded Tally; see tally.v1.avsc."""

    tenant: str
    aggregate: str
    group: tuple[str, ...]
    windows: bytes
    source: str


def _zigzag(number: int) -> bytes:
    rest = number << 1
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SHORT = tuple(_zigzag(number) for number in range(2_048))


def long(number: int) -> bytes:
    """A length or count as Avro long: zigzag, then base 128, least significant first."""
    return _SHORT[number] if number < len(_SHORT) else _zigzag(number)


def text(value: str) -> bytes:
    """A string."""
    data = value.encode()
    return long(len(data)) + data


def head(schema: str, tenant: str, name: str, group: Sequence[str]) -> bytes:
    """The beginning of a Partial or Tally, up to and with the group."""
    parts = [opening(schema, tenant, name)]
    if group:
        parts.append(long(len(group)))
        parts += [text(value) for value in group]
    parts.append(b"\0")
    return b"".join(parts)


@cache
def opening(schema: str, tenant: str, name: str) -> bytes:
    """The beginning of a Partial or Tally, up to the group."""
    return header(schema) + text(tenant) + text(name)


def partial(beginning: bytes, matches: tuple[bytes, bytes, bytes, bytes], source: bytes) -> bytes:
    """A Partial from `head`, its times, uids, values and evidence, and `text` of its source."""
    times, uids, values, evidence = matches
    return b"".join(
        (
            beginning,
            long(len(times)),
            times,
            long(len(uids)),
            uids,
            long(len(values)),
            values,
            long(len(evidence)),
            evidence,
            source,
        )
    )


def tally(beginning: bytes, windows: bytes, source: bytes) -> bytes:
    """A Tally from `head`, its windows, and `text` of its source."""
    return b"".join((beginning, long(len(windows)), windows, source))


def partial_batch(
    tenant: str, rule: str, source: bytes, members: tuple[bytes, bytes, bytes, bytes, bytes]
) -> bytes:
    """A PartialBatch from `text` of its source, and its sizes, groups, times, uids and values."""
    sized = [part for member in members for part in (long(len(member)), member)]
    return b"".join((opening("PartialBatch", tenant, rule), source, *sized))


def read_partial_batch(value: bytes) -> tuple[str, str, str, list[tuple[int, int]]]:
    """Tenant, rule and source of a value that begins with `header("PartialBatch")`, and where its
    sizes, groups, times, uids and values begin and end.

    Raises ValueError or IndexError when it is cut short.
    """
    spans, at = [], HEADER
    for _ in range(8):
        spans.append(_span(value, at))
        at = spans[-1][1]
    if at != len(value):
        raise ValueError(f"a PartialBatch has {len(value)} bytes, its lengths say {at}")
    tenant, rule, source = (value[first:end].decode() for first, end in spans[:3])
    return tenant, rule, source, spans[3:]


def _span(value: bytes, at: int) -> tuple[int, int]:
    """Where the string or bytes at a position begins and ends."""
    length = value[at]
    at += 1
    if length > 127:
        shift = 7
        length &= 127
        while True:
            byte = value[at]
            at += 1
            length |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
    return at, at + (length >> 1)


def read_head(value: bytes) -> tuple[str, str, tuple[str, ...], int]:
    """Tenant, name and group of a Partial or Tally, and where what follows them begins."""
    first, end = _span(value, HEADER)
    tenant = value[first:end].decode()
    first, end = _span(value, end)
    name = value[first:end].decode()
    count = value[end] >> 1
    end += 1
    group: list[str] = []
    if count:
        for _ in range(count):
            first, end = _span(value, end)
            group.append(value[first:end].decode())
        end += 1
    return tenant, name, tuple(group), end


def read_matches(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Times, uids and values of a Partial that begins with `header("Partial")`."""
    _, at = _span(value, HEADER)
    _, at = _span(value, at)
    times, uids, values = read_members(value, group_end(value, at), 3)
    return times, uids, values


def group_end(value: bytes, at: int) -> int:
    """Where the group that begins at a position ends."""
    count = value[at] >> 1
    at += 1
    if not count:
        return at
    for _ in range(count):
        length = value[at]
        if length < 128:
            at += 1 + (length >> 1)
        else:
            _, at = _span(value, at)
    return at + 1


def read_members(value: bytes, at: int, count: int) -> list[bytes]:
    """The strings or bytes that begin at a position, so many of them."""
    members = []
    for _ in range(count):
        length = value[at]
        if length < 128:
            first = at + 1
            at = first + (length >> 1)
        else:
            first, at = _span(value, at)
        members.append(value[first:at])
    return members


def read_partial(value: bytes) -> Partial:
    """Decode a Partial that begins with `header("Partial")`."""
    tenant, rule, group, at = read_head(value)
    times, uids, values, evidence, source = read_members(value, at, 5)
    return Partial(tenant, rule, group, times, uids, values, evidence, source.decode())


def read_tally(value: bytes) -> Tally:
    """Decode a Tally that begins with `header("Tally")`."""
    tenant, aggregate, group, at = read_head(value)
    windows, source = read_members(value, at, 2)
    return Tally(tenant, aggregate, group, windows, source.decode())
