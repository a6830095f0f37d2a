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


def partitions(keys: Sequence[bytes], count: int) -> npt.NDArray[np.int64]:
    """The partition, of so many, of each key."""
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    starts = np.cumsum(lengths) - lengths
    content = b"".join((*keys, bytes(4)))
    words = np.ndarray(len(content) - 3, "<u4", content, strides=(1,))
    # Longest first, so that the keys that still have a word are always the first ones.
    order = np.argsort(-lengths, kind="stable")
    at = starts[order]
    ordered = lengths[order]
    hashes = SEED ^ ordered.astype(np.uint32)
    whole = -(ordered // 4)
    for number in range(-int(whole.min(initial=0))):
        some = int(np.searchsorted(whole, -number))
        word = words[at[:some]] * FACTOR
        at[:some] += 4
        word ^= word >> np.uint32(24)
        hashes[:some] *= FACTOR
        hashes[:some] ^= word * FACTOR
    rest = ordered % 4
    tail = words[at] & ((np.uint32(1) << (rest * 8).astype(np.uint32)) - np.uint32(1))
    hashes = np.where(rest > 0, (hashes ^ tail) * FACTOR, hashes)
    hashes ^= hashes >> np.uint32(13)
    hashes *= FACTOR
    hashes ^= hashes >> np.uint32(15)
    found = np.empty(len(keys), np.int64)
    found[order] = (hashes & POSITIVE) % np.uint32(count)
    return found
