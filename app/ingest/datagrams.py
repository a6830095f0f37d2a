"""Many datagrams with one system call: recvmmsg(2) into buffers that are made once (Linux)."""

import ctypes
import errno
import os
import socket
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

MOST: Final = 512
SLOT: Final = 65_536  # no datagram is larger
NAME: Final = 128  # sockaddr_storage


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr, with struct msghdr (padded to its alignment) inlined."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iovec", ctypes.POINTER(_Iovec)),
        ("iovec_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("_padding", ctypes.c_int),
        ("length", ctypes.c_uint32),
        ("_end", ctypes.c_uint32),
    )


_LIBC = ctypes.CDLL(None, use_errno=True)
Sizes: TypeAlias = NDArray[np.uint32]


class Group(NamedTuple):
    """Datagrams of one peer, in the order in which they came."""

    peer: bytes
    lines: list[bytes]


class Datagrams:
    """Receives from one socket. `peer`: what a sender without an address is called."""

    def __init__(self, source: socket.socket, peer: bytes) -> None:
        self._source = source
        self._peer = peer
        self._family = source.family
        self._data = bytearray(MOST * SLOT)
        self._names = bytearray(MOST * NAME)
        self._view = memoryview(self._data)
        self._octets = np.frombuffer(self._data, np.uint8)
        self._starts = np.arange(MOST) * SLOT
        self._iovecs = (_Iovec * MOST)()
        self._messages = (_Message * MOST)()
        data = ctypes.addressof(ctypes.c_char.from_buffer(self._data))
        names = ctypes.addressof(ctypes.c_char.from_buffer(self._names))
        for number in range(MOST):
            self._iovecs[number] = _Iovec(data + number * SLOT, SLOT)
            message = self._messages[number]
            message.name = names + number * NAME
            message.iovec = ctypes.pointer(self._iovecs[number])
            message.iovec_length = 1
        fields = np.frombuffer(memoryview(self._messages).cast("B"), np.uint32).reshape(MOST, -1)
        self._name_lengths = fields[:, _Message.name_length.offset // 4]
        self._lengths: Sizes = fields[:, _Message.length.offset // 4]
        self._called: dict[bytes, bytes] = {}

    def receive(self) -> tuple[list[Group], int, int]:
        """What is there, up to MOST: groups by peer, the number of datagrams, their octets."""
        self._name_lengths[:] = NAME
        count = _LIBC.recvmmsg(
            self._source.fileno(), self._messages, MOST, socket.MSG_DONTWAIT, None
        )
        if count <= 0:
            code = ctypes.get_errno()
            if count < 0 and code not in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
                raise OSError(code, os.strerror(code))
            return [], 0, 0
        sizes = self._lengths[:count]
        starts = self._starts[:count]
        ends = starts + sizes
        slices = map(slice, starts.tolist(), ends.tolist())
        lines = list(map(bytes, map(self._view.__getitem__, slices)))
        last = self._octets[ends - (sizes > 0)]
        if ((last == 10) | (last == 0) | (last == 13)).any():  # trailers that senders add
            lines = [line.rstrip(b"\r\n\0") for line in lines]
        return self._grouped(lines, count), count, int(sizes.sum())

    def _grouped(self, lines: list[bytes], count: int) -> list[Group]:
        if self._family == socket.AF_UNIX:
            return [Group(self._peer, lines)]
        names = np.frombuffer(self._names, np.uint8).reshape(MOST, NAME)[:count]
        first, size = (4, 4) if self._family == socket.AF_INET else (8, 16)
        addresses = np.ascontiguousarray(names[:, first : first + size]).view(f"V{size}").ravel()
        if (addresses == addresses[0]).all():
            return [Group(self._name(addresses[0].tobytes()), lines)]
        order: dict[bytes, list[bytes]] = {}
        for address, line in zip(addresses.tolist(), lines, strict=True):
            order.setdefault(address, []).append(line)
        return [Group(self._name(address), group) for address, group in order.items()]

    def _name(self, address: bytes) -> bytes:
        found = self._called.get(address)
        if found is None:
            if len(self._called) > 100_000:  # forged sources
                self._called.clear()
            text = socket.inet_ntop(self._family, address).removeprefix("::ffff:")
            found = self._called[address] = text.encode()
        return found


def kernel_drops(inode: int) -> int:
    """Datagrams the kernel dropped at a socket because its buffer was full (/proc/net/udp)."""
    for name in ("udp", "udp6"):
        try:
            with Path(f"/proc/self/net/{name}").open("rb") as table:
                next(table)
                for line in table:
                    words = line.split()
                    if int(words[9]) == inode:
                        return int(words[-1])
        except (OSError, StopIteration):
            continue
    return 0
