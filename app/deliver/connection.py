"""A TCP or TLS connection to a receiver. Blocks, and says so meanwhile."""

import array
import contextlib
import fcntl
import select
import socket
import ssl
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.config import host_port
from app.deliver.destination import UnreachableError, Waiting

STEP_S: Final = 0.5
CONNECT_S: Final = 10.0
CHUNK: Final = 1 << 20
TLS_CHUNK: Final = 1 << 16
READ: Final = 1 << 16
KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds and tries after which a receiver that vanished without a word is noticed."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files of `DeliveryTls`, as absolute paths."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def context(self) -> ssl.SSLContext:
        """A client context, TLS 1.2 or newer, that verifies. Raises OSError naming the file."""
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except OSError as error:
            raise OSError(error.errno, f"tls.ca {self.ca}: {reason(error)}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key)
            except OSError as error:
                key = f" and tls.key {self.key}" if self.key else ""
                problem = f"tls.certificate {self.certificate}{key}: {reason(error)}"
                raise OSError(error.errno, problem) from None
        return context


class Connection:
    """Open from the start. Whatever goes wrong raises UnreachableError that names the address."""

    def __init__(
        self, address: str, tls: ClientTls | None, timeout_s: float, waiting: Waiting
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._waiting = waiting
        self._chunk = CHUNK if tls is None else TLS_CHUNK
        host, port = host_port(address)
        try:
            plain = socket.create_connection((host, port), CONNECT_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # What is sent to a host that is gone is else tried again for a quarter of an hour.
            plain.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1000, int(timeout_s * 1000))
            )
            for name, value in KEEPALIVE.items():
                plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            self._socket = plain
            if tls is not None:
                self._socket = self._secured(plain, tls, host)
        except OSError as error:
            raise self._lost(error) from None
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    @staticmethod
    def _secured(plain: socket.socket, tls: ClientTls, host: str) -> ssl.SSLSocket:
        try:
            return tls.context().wrap_socket(plain, server_hostname=tls.server_name or host)
        except BaseException:
            plain.close()
            raise

    def send(self, data: bytes) -> None:
        """All of it to the kernel."""
        view = memoryview(data)
        self._socket.settimeout(STEP_S)
        last = time.monotonic()
        while view:
            try:
                sent = self._socket.send(view[: self._chunk])
            except (TimeoutError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if time.monotonic() - last > self._timeout_s:
                    raise UnreachableError(
                        f"{self.address}: took nothing for {self._timeout_s:.0f} s"
                    ) from None
                self._waiting()
            except OSError as error:
                raise self._lost(error) from None
            else:
                view = view[sent:]
                if view:
                    last = time.monotonic()

    def receive(self, seconds: float = 0.0) -> bytes:
        """What the receiver has sent; empty if nothing within so long, STEP_S at most."""
        secured = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()
        if not secured and not self._poll.poll(min(seconds, STEP_S) * 1000):
            return b""
        self._socket.settimeout(0)
        try:
            data = self._socket.recv(READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""  # TLS has its own talk, such as session tickets
        except OSError as error:
            raise self._lost(error) from None
        if not data:
            raise UnreachableError(f"{self.address}: closed by the receiver")
        return data

    def acknowledge_at_once(self) -> None:
        """A receiver that sends many small answers is not made to wait for our kernel's."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def unacknowledged(self) -> int:
        """Octets sent that the receiver's kernel has not acknowledged (SIOCOUTQ)."""
        found = array.array("i", [0])
        try:
            fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, found)
        except OSError as error:
            raise self._lost(error) from None
        return found[0]

    def finish(self, seconds: float) -> bool:
        """Say that nothing more comes; whether the receiver has then ended too, within so long.

        It can do that only after it has read everything.
        """
        deadline = time.monotonic() + seconds
        try:
            while self.unacknowledged() and time.monotonic() < deadline:
                time.sleep(0.005)
            self._socket.settimeout(max(0.1, deadline - time.monotonic()))
            if isinstance(self._socket, ssl.SSLSocket):
                with contextlib.suppress(ssl.SSLEOFError):
                    self._socket.unwrap()  # some close the connection instead of answering
                return True
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(READ):
                pass
        except (OSError, UnreachableError):
            return False
        return True

    def close(self) -> None:
        """End it as it is."""
        self._socket.close()

    def _lost(self, error: OSError) -> UnreachableError:
        return UnreachableError(f"{self.address}: {reason(error)}")


def reason(error: OSError) -> str:
    """Why, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(getattr(error, "reason", None) or error.strerror or error)
