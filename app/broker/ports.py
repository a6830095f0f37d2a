"""TCP ports: free ones for the broker, and a clear answer when one is taken."""

import errno
import ipaddress
import random
import socket
from contextlib import suppress

from app.broker.errors import BrokerError

# Below the range that Linux gives to outgoing connections, so that none takes the port between
# its choice and its use, or while the broker is down.
LOWEST, HIGHEST = 15_000, 32_000
_given: set[int] = set()


def split(address: str) -> tuple[str, int]:
    """`[::1]:9094` as `("::1", 9094)`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def join(host: str, port: int) -> str:
    """`("::1", 9094)` as `[::1]:9094`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """Where this machine reaches a listener on `host`: loopback for "all addresses"."""
    address = None
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
    if address is None or not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def refused(host: str, port: int) -> OSError | None:
    """Why nobody could listen on the port now; None when it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def require(address: str, key: str) -> None:
    """Raise BrokerError, naming the configuration key, unless `address` can be listened on."""
    host, port = split(address)
    try:
        error = refused(host, port)
    except socket.gaierror:
        error = OSError(errno.EADDRNOTAVAIL, "unknown host")
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        advice = f"Stop the program that uses it (`ss -ltnp 'sport = :{port}'` shows it)"
        raise BrokerError(f"Port {port} is in use ({address}). {advice} or change {key}.")
    if error.errno == errno.EACCES:
        raise BrokerError(
            f"This user may not listen on {address}: choose a port above 1023: {key}."
        )
    raise BrokerError(f"Cannot listen on {address} ({error.strerror}). Change {key}.")


def all_free(host: str, first: int, count: int) -> bool:
    """Whether `count` ports from `first` on are free on `host`."""
    return all(refused(host, first + number) is None for number in range(count))


def free(host: str, count: int = 1) -> int:
    """The first of `count` consecutive ports that are free on `host`, and that this process was not
    given before: who asked may not listen yet, or be away for a moment."""
    chooser = random.SystemRandom()
    for _ in range(200):
        first = chooser.randrange(LOWEST, HIGHEST - count)
        wanted = range(first, first + count)
        if _given.isdisjoint(wanted) and all_free(host, first, count):
            _given.update(wanted)
            return first
    raise BrokerError(f"No {count} free ports in a row between {LOWEST} and {HIGHEST} on {host}.")
