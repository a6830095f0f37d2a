"""How the C library's allocator treats what is freed, for processes that work in batches."""

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_THRESHOLD: Final = -3

MIB: Final = 1 << 20
SETTINGS: Final = (
    (M_TRIM_THRESHOLD, 512 * MIB),
    (M_TOP_PAD, 16 * MIB),
    (M_MMAP_THRESHOLD, 64 * MIB),
)


def keep_freed() -> bool:
    """Keep the memory of one batch for the next one (mallopt(3) of glibc). False where there is no
    such function: only the speed depends on it.

    Without this, glibc gives the records of a batch back to the kernel as soon as the producer is
    done with them, and asks for zeroed pages again for the next batch.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, value) == 1 for name, value in SETTINGS)
