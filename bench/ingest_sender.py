"""The sending side of the ingest benchmark: a process of its own, whose cost counts for nobody.

`python -m bench.ingest_sender MODE HOST PORT LINES [option=value ...]`.
Modes: lf, octet, tls, relp, udp.
Options: connections, window (relp), rate (udp, a second), record (tls: lines in a record).
Prints seconds taken, and for relp the answers read.
"""

import contextlib
import re
import selectors
import socket
import ssl
import sys
import time

LINE = b"<134>Oct 11 22:14:15 nas-%02d audit: %07d 10.20.%d.%d,user-%d,nfs,fs_read_data,ok,%d,"
WIDTH = 148
CHUNK = 64 * 1024
OPEN = b"1 open 30 relp_version=0\ncommands=syslog\n"


def lines(count: int) -> list[bytes]:
    """Lines of 148 octets."""
    made = (LINE % (n % 7, n, n % 250, n % 199, n % 1_000, n * 7) for n in range(count))
    return [(line + b'"/data/projects/file-' + b"x" * WIDTH)[: WIDTH - 1] + b'"' for line in made]


def stream(targets: list[socket.socket], shares: list[bytes]) -> None:
    """Send each connection its share, all at once, as fast as they take it."""
    chooser = selectors.DefaultSelector()
    views = {}
    for target, share in zip(targets, shares, strict=True):
        target.setblocking(False)
        views[target] = memoryview(share)
        chooser.register(target, selectors.EVENT_WRITE, target)
    while views:
        for key, _ in chooser.select():
            target = key.data
            sent = target.send(views[target][:CHUNK])
            views[target] = views[target][sent:]
            if not views[target]:
                chooser.unregister(target)
                del views[target]


def framed(mode: str, part: list[bytes]) -> bytes:
    if mode == "lf":
        return b"\n".join(part) + b"\n"
    return b"".join(b"%d %b" % (len(line), line) for line in part)


def tls(host: str, port: int, part: list[bytes], record: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # a load generator on loopback
    data = [framed("octet", part[n : n + record]) for n in range(0, len(part), record)]
    # Records go out as many to a call as a socket takes, so that the receiver is what is measured.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    wrapped = context.wrap_bio(incoming, outgoing)
    with socket.create_connection((host, port)) as target:
        while True:
            try:
                wrapped.do_handshake()
                break
            except ssl.SSLWantReadError:
                target.sendall(outgoing.read())
                incoming.write(target.recv(CHUNK))
        for each in data:
            wrapped.write(each)
            if outgoing.pending >= CHUNK:
                target.sendall(outgoing.read())
        with contextlib.suppress(ssl.SSLWantReadError):
            wrapped.unwrap()
        target.sendall(outgoing.read())
        target.shutdown(socket.SHUT_WR)
        while target.recv(CHUNK):
            pass


def relp(host: str, port: int, part: list[bytes], window: int) -> int:
    """Keep `window` messages unanswered; how many were answered with 200."""
    batch = max(1, window // 8)
    frames = [b"%d syslog %d %b\n" % (n, len(line), line) for n, line in enumerate(part, 2)]
    chunks = [b"".join(frames[n : n + batch]) for n in range(0, len(frames), batch)]
    sizes = [len(frames[n : n + batch]) for n in range(0, len(frames), batch)]
    with socket.create_connection((host, port)) as target:
        target.sendall(OPEN)
        answers = b""
        while not re.search(rb"commands=syslog\n$", answers):
            answers += target.recv(4096)
        sent = good = 0
        at = 0
        while good < len(part):
            while at < len(chunks) and sent + sizes[at] - good <= window:
                target.sendall(chunks[at])
                sent += sizes[at]
                at += 1
            got = target.recv(CHUNK)
            if not got:
                break
            good += got.count(b"\n")
        return good


def udp(host: str, port: int, part: list[bytes], rate: int) -> None:
    step = max(1, rate // 2_000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.connect((host, port))
        begin = time.monotonic()
        for n in range(0, len(part), step):
            for line in part[n : n + step]:
                target.send(line)
            ahead = begin + (n + step) / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


def main() -> None:
    """Send as told."""
    mode, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    options = {key: int(value) for key, _, value in (each.partition("=") for each in sys.argv[5:])}
    part = lines(count)
    answered = ""
    if mode in ("lf", "octet"):
        connections = options.get("connections", 1)
        shares = [framed(mode, part[n::connections]) for n in range(connections)]
        targets = [socket.create_connection((host, port)) for _ in range(connections)]
        begin = time.monotonic()
        stream(targets, shares)
        for target in targets:
            target.close()
    else:
        begin = time.monotonic()
        if mode == "tls":
            tls(host, port, part, options.get("record", 100))
        elif mode == "relp":
            answered = str(relp(host, port, part, options.get("window", 2_000)))
        else:
            udp(host, port, part, options["rate"])
    print(time.monotonic() - begin, answered)


if __name__ == "__main__":
    main()
