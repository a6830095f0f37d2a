"""What reading a format costs: `python -m bench --case normalizers`.

One thread, microseconds of CPU an event in batches of 20,000: the format's parser alone (for a
chain of several all of them), and decode (the syslog header looked for, parser and normalizer). A
parser fails the check above LIMIT_US.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from random import Random

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl
from rich.console import Console
from rich.table import Table

from bench.measure import Measurement, write
from bench.options import Options
from bench.payloads import Payload, payloads
from topology import formats
from topology.parse import FORMATS

EVENTS = 200_000
BATCH = 20_000
LIMIT_US = 15.0
LIMITS_US = {"XML": 40.0}
"""For names of payloads with such a word."""
RECEIVED_MS = 1_769_522_400_000


def run(options: Options) -> int:
    """In a process of its own, in which Polars has one thread."""
    events = options.events or EVENTS
    command = [sys.executable, "-m", "bench.normalizers", "--events", str(events)]
    command += ["--seed", str(options.seed)]
    command += ["--keep"] if options.complete else []
    return subprocess.run(command, check=False).returncode


def measure(payload: Payload, events: int) -> tuple[float, float, int]:
    """Microseconds an event of the parser and of decode, and bytes of a line."""
    texts = [payload.line(number) for number in range(events)]
    batches = [_frame(texts[at : at + BATCH]) for at in range(0, events, BATCH)]
    if payload.whole:
        parsed = _spent(batches, lambda batch: formats.read(payload.format, batch, payload.options))
    else:
        parser = FORMATS[payload.format]
        parsed = _spent(batches, lambda batch: parser.parse(batch, payload.options))
    decoded = _spent(batches, lambda batch: formats.decode(payload.format, batch, payload.options))
    return parsed / events * 1e6, decoded / events * 1e6, sum(map(len, texts)) // events


def _spent(batches: Sequence[pl.DataFrame], work: Callable[[pl.DataFrame], object]) -> float:
    work(batches[0])
    start = time.process_time()
    for batch in batches:
        work(batch)
    return time.process_time() - start


def _frame(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row": pl.Series(range(len(texts)), dtype=pl.UInt32),
            "text": texts,
            "raw": [text.encode() for text in texts],
            "received": pl.Series([RECEIVED_MS] * len(texts), dtype=pl.Int64),
        }
    )


def main() -> int:
    """Print a table; 1 when a parser costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write the figures")
    arguments = parser.parse_args()
    table = Table("format", "bytes a line", "parse, us", "decode, us", title="CPU an event")
    figures, failed = [], False
    for name, payload in payloads(Random(arguments.seed)).items():
        parsed, decoded, size = measure(payload, arguments.events)
        limit = next((us for word, us in LIMITS_US.items() if word in name), LIMIT_US)
        over = f" (over {limit:g})" if parsed > limit else ""
        failed |= bool(over)
        table.add_row(name, str(size), f"{parsed:.1f}{over}", f"{decoded:.1f}")
        figures += [
            Measurement("normalizers", name, "parse_us", parsed),
            Measurement("normalizers", name, "decode_us", decoded),
        ]
    Console().print(table)
    if arguments.keep:
        write(figures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
