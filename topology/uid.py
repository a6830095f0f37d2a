"""Event uids: the same raw record always gives the same uid, whoever reads it and how often.

A uid is `<origin>-<partition>-<offset>`, with `-<sub>` when one record holds several events. The
origin is made of the cluster's and the raw topic's ids, so that uids differ between clusters and
between a topic and its successor of the same name. Consumers that see a record twice drop one.
"""

import base64
import hashlib
import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from topology.records import Batch

REPLAY = b"\x00replay:"
"""A raw record whose key begins so was sent again; the rest of the key is the uid to keep."""
UID = re.compile(rb"[A-Za-z0-9._-]+")
"""What uids are made of: encoders write them without a look at what has to be escaped. Another key
that begins so is none of a record that was sent again."""
MARK = "~"
"""What follows it in the uid of a match is no part of it (topology/correlate/marks.py)."""


def origin(cluster: str, topic_id: str) -> str:
    """Eleven URL-safe characters for a raw topic of a cluster."""
    digest = hashlib.blake2b(f"{cluster}\0{topic_id}".encode(), digest_size=8).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def record_uid(stem: str, partition: int, offset: int) -> str:
    """The uid of a record that holds one event."""
    return f"{stem}-{partition}-{offset}"


def unmarked(uid: str) -> str:
    """The uid of an event, of that of a match."""
    return uid.partition(MARK)[0]


def ordered(uid: str) -> list[tuple[int, str]]:
    """What uids are sorted by so that they come as their events stand in the raw topics: as texts,
    offset 10 and event 10 of a record would come before 9."""
    return [(len(part), part) for part in unmarked(uid).split("-")]


def shape(uid: str) -> tuple[int, ...]:
    """Uids of one shape, as nearly all of a topic are, are ordered as the texts that they are."""
    return tuple(map(len, unmarked(uid).split("-")))


def record_uids(batch: Batch, stem: str) -> pl.Series:
    """One uid (String) for each record of the batch."""
    offsets = pl.Series("offset", batch.offsets).cast(pl.String)
    owners = np.unique(batch.partitions)
    stems: pl.Series
    if len(owners) == 1:
        stems = pl.Series("stem", [f"{stem}-{owners[0]}-"])
    else:
        table = pl.Series("stem", [f"{stem}-{number}-" for number in range(owners[-1] + 1)])
        stems = table.gather(batch.partitions)
    uids = (stems + offsets).rename("uid")
    return _kept(batch.keys, uids)


def _kept(keys: Sequence[bytes | None], uids: pl.Series) -> pl.Series:
    known = pl.Series("key", keys, dtype=pl.Binary)
    again = known.bin.starts_with(REPLAY).fill_null(value=False)
    if not again.any():
        return uids
    places = again.arg_true().to_list()
    found = [UID.fullmatch(keys[place] or b"", len(REPLAY)) for place in places]
    good = {place: uid[0].decode() for place, uid in zip(places, found, strict=True) if uid}
    return uids.scatter(list(good), list(good.values()))
