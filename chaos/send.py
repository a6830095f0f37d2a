"""`python -m chaos.send`: real syslog senders over TCP or RELP, at a steady rate, until SIGTERM.

One connection for each loopback address, so that keys fall on several partitions. Writes every line
to OUT/input-<n>.log and what was done to OUT/sender-<first>.json about four times a second.
"""

import argparse
import asyncio
import json
import signal
from pathlib import Path

from chaos.relp import RelpConnection
from chaos.sender import Connection

PROTOCOLS = {"tcp": Connection, "relp": RelpConnection}


async def main(given: argparse.Namespace) -> None:
    """All connections until SIGTERM."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    kind = PROTOCOLS[given.protocol]
    connections = [kind(number, given) for number in range(given.connections)]
    tasks = [asyncio.create_task(each.run(ending)) for each in connections]
    while True:
        _, running = await asyncio.wait(tasks, timeout=0.25)
        report = {
            "sent": sum(each.sent for each in connections),
            "resets": sum(each.resets for each in connections),
            "resent": sum(each.resent for each in connections),
            "blocked": max(each.blocked for each in connections),
        }
        fresh = given.out / f"sender-{given.first}.new"
        fresh.write_text(json.dumps(report))
        fresh.replace(given.out / f"sender-{given.first}.json")
        if not running:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send audit lines until SIGTERM.")
    for name in ("seed", "port", "rate", "connections"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first connection")
    parser.add_argument("--tree", default="data", help="top folder of the paths")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="tcp")
    parser.add_argument("--out", type=Path, required=True)
    asyncio.run(main(parser.parse_args()))
