"""Sends the demo's stream over three TCP connections, one from each cluster's address.

`python -m app.demo.sender --seed=1 --lines=300000 --start-ms=... --end-ms=... --port=5514` stops by
itself after the last line. Chunks go out in order of event time over all connections, so that no
cluster runs ahead of another, and each is taken by the kernel before the next one.
"""

import argparse
import heapq
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from app.demo.stream import Connection, Stream

TIMEOUT_S = 60.0
"""How long the agent may hold a sender back before that is a failure."""


def send(stream: Stream, port: int, rate: int) -> int:
    """Send all lines at up to `rate` a second to 127.0.0.1; how many were sent.

    Raises OSError when the agent is not there or takes nothing for a minute.
    """
    sent = 0
    with ExitStack() as stack:
        queues = []
        for connection in stream.connections():
            opened = stack.enter_context(_connect(connection, port))
            queues.append(_queue(connection, opened))
        begin = time.monotonic()
        for _, data, lines, opened in heapq.merge(*queues, key=lambda item: item[0]):
            opened.sendall(data)
            sent += lines
            ahead = sent / rate - (time.monotonic() - begin)
            if ahead > 0:
                time.sleep(ahead)
    return sent


def _connect(connection: Connection, port: int) -> socket.socket:
    return socket.create_connection(
        ("127.0.0.1", port), timeout=TIMEOUT_S, source_address=(connection.address, 0)
    )


def _queue(
    connection: Connection, opened: socket.socket
) -> Iterator[tuple[int, bytes, int, socket.socket]]:
    for chunk in connection.chunks():
        yield chunk.time_ms, chunk.data, chunk.lines, opened


def main() -> int:
    """Send as the options say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("seed", "lines", "start-ms", "end-ms", "port", "rate"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    stream = Stream(options.seed, options.lines, options.start_ms, options.end_ms)
    sent = send(stream, options.port, options.rate)
    sys.stdout.write(f"{sent}\n")
    return 0 if sent == stream.expected.lines else 1


if __name__ == "__main__":
    sys.exit(main())
