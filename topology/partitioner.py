"""Which partition a key belongs to: murmur2 as Kafka's Java clients hash, for many keys at once.

Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.partitionForKey; the
producers here are told to do the same (`murmur2_random`), but for keys that are empty.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SEED = np.uint32(0x9747B28C)
FACTOR = np.uint32(0x5BD1E995)
POSITIVE = np.uint32(0x7FFFFFFF)


def partitions(keys: Sequence[bytes], count: int, same: int = 0) -> npt.NDArray[np.int64]:
    """The partition, of so many, of each key; all of them begin with the same so many bytes."""
    if not keys:
        return np.empty(0, np.int64)
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    starts = np.cumsum(lengths) - lengths
    longest = int(lengths.max())
    content = b"".join((*keys, bytes(4)))
    words = np.ndarray(len(content) - 3, "<u4", content, strides=(1,))
    # Where keys begin alike their hashes differ by their lengths alone.
    by_length = SEED ^ np.arange(longest + 1, dtype=np.uint32)
    for word in _mixed(words[: same // 4 * 4 : 4]):
        by_length = by_length * FACTOR ^ word
    # Longest first, so that the keys that still have a word are always the first ones.
    shorter = longest - lengths
    order = np.argsort(shorter.astype(np.uint16) if longest < 1 << 16 else shorter, kind="stable")
    ordered = lengths[order]
    hashes = by_length[ordered]
    at = starts[order] + same // 4 * 4
    whole = same // 4 - ordered // 4
    for number in range(-int(whole[0])):
        some = int(np.searchsorted(whole, -number))
        hashes[:some] *= FACTOR
        hashes[:some] ^= _mixed(words[at[:some]])
        at[:some] += 4
    rest = ordered % 4
    tail = words[at] & ((np.uint32(1) << (rest * 8).astype(np.uint32)) - np.uint32(1))
    hashes = np.where(rest > 0, (hashes ^ tail) * FACTOR, hashes)
    hashes ^= hashes >> np.uint32(13)
    hashes *= FACTOR
    hashes ^= hashes >> np.uint32(15)
    found = np.empty(len(keys), np.int64)
    found[order] = (hashes & POSITIVE) % np.uint32(count)
    return found


def _mixed(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    word = words * FACTOR
    word ^= word >> np.uint32(24)
    word *= FACTOR
    return word
