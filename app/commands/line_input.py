"""What `northbound parse` reads: lines, or the frames of one connection, of a file or of standard
input."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from app.output import WRONG_USAGE, errors, fail

READ_SIZE = 1 << 20


def source_of(file: Path | None) -> BinaryIO:
    """What is read; a terminal is told that it is waited for."""
    if file is None:
        if sys.stdin.isatty():
            errors.print("Type or paste lines; Ctrl-D ends.", markup=False)
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as error:
        fail(f"{file}: {error.strerror}", WRONG_USAGE)


def lines_of(source: BinaryIO) -> Iterator[list[bytes]]:
    """Lines as they come, without their line end; the last one may have none."""
    begun: list[bytes] = []
    read = cast("Any", source).read1
    while data := read(READ_SIZE):
        first, *lines = data.split(b"\n")
        begun.append(first)
        if lines:
            yield [b"".join(begun), *lines[:-1]]
            begun = [lines[-1]]
    if rest := b"".join(begun):
        yield [rest]


def bound_of(given: list[str]) -> int | None:
    """Bytes of `--option max=N`; None where it is not given."""
    if not given:
        return None
    value = given[-1].removeprefix("max=")
    if re.fullmatch("[1-9][0-9]{0,8}", value) is None:
        fail(f"--option max: saw {value!r}, expected a number of bytes", WRONG_USAGE)
    return int(value)


def frames_of(source: BinaryIO, framing: str, bound: int | None) -> Iterator[list[bytes]]:
    """Frames as they come; a fault is told at the end, with what was not framed. With `octet`,
    where nothing after it is read, the command fails for it."""
    from app.ingest.framing import LARGEST_COUNT, LIMIT, MODES, Framer

    mode = next((each for each in MODES if each == framing), None)
    if mode is None:
        known = ", ".join(("lines", *MODES))
        fail(f"no framing {framing!r}; --framing expects one of {known}", WRONG_USAGE)
    largest = bound if bound and mode == "octet" else LARGEST_COUNT
    framer = Framer(mode, limit=bound or LIMIT, largest=largest)
    read = cast("Any", source).read1
    while not framer.error and (data := read(READ_SIZE)):
        yield framer.feed(data)
    yield framer.end()
    if framer.error:
        problem = f"framing: {framer.error}; not framed: {framer.remainder[:60]!r}"
        if mode == "octet":
            fail(problem)
        errors.print(problem, markup=False)
