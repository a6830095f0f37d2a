"""What reading syslog headers costs: `python -m bench.syslog_headers [--lines 20000]`.

One thread, CPU time per line of a batch, for the shapes of line that are usual and for one that is
not: the parser alone, and decode (parse and normalize) by the format and by `auto`.
"""

import argparse
import os
import time
from collections.abc import Callable
from random import Random

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from topology import formats
from topology.parse import FORMATS

RECEIVED_MS = 1_769_522_400_000
OPTIONS = {"timezone": "Europe/Berlin"}
ROUNDS = 5


def shapes(random: Random) -> dict[str, tuple[str, Callable[[int], str]]]:
    """Name: format and what gives line n."""

    def text(n: int) -> str:
        address = f"10.{n % 7}.{random.randrange(256)}.{random.randrange(256)}"
        return f"Accepted publickey for user{random.randrange(300)} from {address} port {n} ssh2"

    def clock(n: int) -> str:
        return f"{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}"

    def tag() -> str:
        return f"host{random.randrange(40)} sshd[{random.randrange(65_536)}]"

    return {
        "rfc5424": (
            "rfc5424",
            lambda n: (
                f"<86>1 2026-01-27T{clock(n)}.{n:06}Z {tag()[:-1].replace('[', ' ')} - - {text(n)}"
            ),
        ),
        "rfc3164": ("rfc3164", lambda n: f"<86>Jan {n % 28 + 1:2} {clock(n)} {tag()}: {text(n)}"),
        "rfc3164, ISO time": (
            "rfc3164",
            lambda n: f"<86>2026-01-27T{clock(n)}.{n:06}+01:00 {tag()}: {text(n)}",
        ),
        "rfc3164, no colon": ("rfc3164", lambda n: f"<86>Jan 27 {clock(n)} {tag()} {text(n)}"),
        "Cisco ASA": (
            "rfc3164",
            lambda n: f"<166>Jan 27 2026 {clock(n // 100)} fw{n % 3} : %ASA-6-302014: {text(n)}",
        ),
        "Cisco IOS": (
            "rfc3164",
            lambda n: f"<189>{n}: *Jan 27 {clock(n)}.{n % 1000:03}: %SYS-5-CONFIG_I: {text(n)}",
        ),
        "FortiGate": ("rfc3164", lambda n: f"<189>date=2026-01-27 devid=FG{n} msg={text(n)}"),
        "CEF": (
            "rfc3164",
            lambda n: f"<86>Jan 27 {clock(n)} fw{n % 3} CEF:0|V|P|1|{n}|name|5|msg={text(n)}",
        ),
        "one by one": ("rfc3164", lambda n: f"<86> Jan {n % 28 + 1} {clock(n)} {tag()}: {text(n)}"),
    }


def spent(work: Callable[[], object], lines: int) -> float:
    """Microseconds of CPU a line."""
    work()
    start = time.process_time()
    for _ in range(ROUNDS):
        work()
    return (time.process_time() - start) / ROUNDS / lines * 1e6


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    count = parser.parse_args().lines
    print(f"{'us of CPU a line':<20}{'parser':>8}{'decode':>8}{'auto':>8}")
    for name, (chosen, line) in shapes(Random(1)).items():
        texts = [line(number) for number in range(count)]
        columns = {
            "row": pl.Series(range(count), dtype=pl.UInt32),
            "text": pl.Series(texts),
            "raw": pl.Series([text.encode() for text in texts]),
            "received": pl.Series([RECEIVED_MS + number for number in range(count)]),
        }
        frame = pl.DataFrame(columns)
        read = FORMATS[chosen]
        costs = (
            spent(lambda: read.parse(frame, OPTIONS), count),  # noqa: B023
            spent(lambda: formats.decode(chosen, frame, OPTIONS), count),  # noqa: B023
            spent(lambda: formats.decode("auto", frame, OPTIONS), count),  # noqa: B023
        )
        print(f"{name:<20}" + "".join(f"{cost:>8.2f}" for cost in costs))


if __name__ == "__main__":
    main()
