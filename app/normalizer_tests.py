"""Golden pairs of normalizers: lines, and the OCSF events that they give, byte for byte.

They stand beside a normalizer `NAME.yaml` in `tests/NAME/`: `case.log` and `case.expected.json`,
one JSON object a line, in the order of the lines.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from app.config import ConfigError
from app.normalizer_files import Loaded
from app.rule_streams import START_MS
from topology.formats import decode
from topology.northbound import SERIALIZERS


def cases(normalizer: Path) -> list[Path]:
    """The logs of a normalizer's tests."""
    return sorted((normalizer.parent / "tests" / normalizer.stem).glob("*.log"))


def expectation(case: Path) -> Path:
    """Where the events of a log are."""
    return case.with_suffix(".expected.json")


def events(loaded: Loaded, case: Path) -> bytes:
    """What the lines give. Raises ConfigError for a line that gives no event, or no file."""
    try:
        lines = case.read_bytes().removesuffix(b"\n").split(b"\n")
    except OSError as error:
        raise ConfigError([f"{case}: cannot be read: {error.strerror}"]) from None
    frame = pl.DataFrame(
        {"row": range(len(lines)), "raw": lines, "received": [START_MS] * len(lines)},
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )
    decoded = decode(loaded.format, frame, loaded.options, loaded.normalizer)
    if decoded.failures.height:
        raise ConfigError(
            [
                f"{case}:{failure['row'] + 1}: {failure['stage']}: {failure['reason']}"
                for failure in decoded.failures.iter_rows(named=True)
            ]
        )
    found = decoded.events.with_columns(pl.col("time").fill_null(START_MS))
    texts = SERIALIZERS["ocsf-json"](found).to_list()
    return b"".join(text.replace(b"\n", b" ") + b"\n" for text in texts)


def differences(case: Path, seen: bytes) -> Iterator[str]:
    """What is not as expected, line by line."""
    expected = expectation(case)
    if not expected.is_file():
        yield f"{expected.name} is missing; --update writes it, then look at it"
        return
    wanted, came = expected.read_bytes().splitlines(), seen.splitlines()
    if len(wanted) != len(came):
        yield f"expected {len(wanted)} {'event' if len(wanted) == 1 else 'events'}, saw {len(came)}"
        return
    for number, (one, other) in enumerate(zip(wanted, came, strict=True), start=1):
        if one != other:
            yield f"event {number}: expected {one.decode()}"
            yield f"event {number}: saw      {other.decode()}"
