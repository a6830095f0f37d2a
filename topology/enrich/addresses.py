"""IPv4 addresses as numbers, many at a time."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

DOT: Final = ord(".")
END: Final = ord("\n")
ZERO: Final = ord("0")
LONGEST: Final = 15
"""Characters of the longest address."""


def v4_numbers(values: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """The number of each address; -1 for any other text.

    An address has four decimal numbers up to 255 without leading zeros, as RFC 6943 section 3.1.1
    calls the strict form.
    """
    numbers = np.full(len(values), -1, dtype=np.int64)
    chosen = [
        number
        for number, value in enumerate(values)
        if value and len(value) <= LONGEST and value[0] <= "9" and "\n" not in value
    ]
    if not chosen:
        return numbers
    joined = "\n".join([values[number] or "" for number in chosen])
    # What is not ASCII becomes `?`, one character for each, which is no digit.
    text = np.frombuffer(f"\n\n\n{joined}\n".encode("ascii", "replace"), dtype=np.uint8)
    # Three line ends in front, so that looking back three characters stays inside.
    ends = np.flatnonzero(text == END)[2:]
    digits = text - np.uint8(ZERO)
    marks = (text == DOT) | (text == END)
    odd = np.cumsum((digits > 9) & ~marks)
    separators = np.flatnonzero(marks)[3:]
    dots = np.searchsorted(separators, ends[1:]) - np.searchsorted(separators, ends[:-1], "right")
    proper = (dots == 3) & (odd[ends[1:]] == odd[ends[:-1]])
    if not proper.any():
        return numbers
    last = np.searchsorted(separators, ends[1:][proper])
    number = np.zeros(len(last), dtype=np.int64)
    valid = np.ones(len(last), dtype=np.bool_)
    starts = ends[:-1][proper]
    for part in (3, 2, 1, 0):
        stops = separators[last - part]
        length = stops - starts - 1
        ones, tens, hundreds = (digits[stops - back].astype(np.int64) for back in (1, 2, 3))
        octet = ones + np.where(length > 1, tens * 10, 0) + np.where(length > 2, hundreds * 100, 0)
        valid &= (length > 0) & (length < 4) & (octet < 256)
        valid &= (length == 1) | (digits[starts + 1] != 0)
        number = number * 256 + octet
        starts = stops
    number[~valid] = -1
    numbers[np.array(chosen)[proper]] = number
    return numbers
