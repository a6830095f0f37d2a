"""A receiver that counts, so that the sender is what is measured: `delivery_sink.py tcp|relp PORT`.

Prints how many messages it has, a line whenever that has grown.
"""

import re
import socket
import sys

READ = 1 << 20
FRAME = re.compile(rb"(\d+) (\w+) (\d+)[ \n]")
OFFERS = b"200 OK\nrelp_version=0\nrelp_software=bench\ncommands=syslog"


def tcp(connection: socket.socket, count: int) -> int:
    """Messages that end with a line feed, to the end of the connection."""
    while data := connection.recv(READ):
        count += data.count(b"\n")
        print(count, flush=True)
    return count


def relp(connection: socket.socket, count: int) -> int:
    """RELP, each message answered with 200."""
    waiting = b""
    while data := connection.recv(READ):
        waiting += data
        position, answers = 0, []
        while found := FRAME.match(waiting, position):
            size = int(found[3])
            end = found.end() + (size + 1 if size else 0)
            if len(waiting) < end:
                break
            position = end
            if found[2] == b"open":
                answers.append(b"%b rsp %d %b\n" % (found[1], len(OFFERS), OFFERS))
            elif found[2] == b"syslog":
                count += 1
                answers.append(found[1] + b" rsp 6 200 OK\n")
            else:
                answers.append(found[1] + b" rsp 0\n0 serverclose 0\n")
        waiting = waiting[position:]
        connection.sendall(b"".join(answers))
        print(count, flush=True)
    return count


if __name__ == "__main__":
    take = {"tcp": tcp, "relp": relp}[sys.argv[1]]
    total = 0
    server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    print(total, flush=True)
    while True:
        opened, _ = server.accept()
        try:
            total = take(opened, total)
        except OSError:
            continue
