"""Socket files: a stale one is replaced, one that somebody listens on is left to him."""

import asyncio
import errno
import socket
from pathlib import Path
from typing import Any

import pytest

from app.ingest.listeners import make_listener
from app.ingest.settings import AgentSettings, ListenerSettings
from app.ingest.unix import make_way

KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM]


def bound(path: Path, kind: socket.SocketKind) -> socket.socket:
    """A daemon's socket."""
    found = socket.socket(socket.AF_UNIX, kind)
    found.bind(str(path))
    if kind == socket.SOCK_STREAM:
        found.listen(1)
    return found


def heard(daemon: socket.socket) -> bytes:
    """What the first sender with something to say says to it; a look says nothing."""
    daemon.settimeout(60)
    if daemon.type == socket.SOCK_DGRAM:
        return daemon.recv(100)
    while True:
        connection, _ = daemon.accept()
        with connection:
            if text := connection.recv(100):
                return text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_nobodys_socket_is_taken(
    tmp_path: Path, kind: socket.SocketKind, other: socket.SocketKind
) -> None:
    """Whatever kind the daemon's socket is: another agent started by mistake, or /dev/log."""
    path = tmp_path / "in.sock"
    with bound(path, other):
        before = path.stat().st_ino
        with pytest.raises(OSError, match="in use") as caught:
            make_way(path, kind)
        assert caught.value.errno == errno.EADDRINUSE
        assert path.stat().st_ino == before
    make_way(path, kind)  # its owner is gone
    assert not path.exists()
    make_way(path, kind)


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    """A file of that name is somebody's."""
    path = tmp_path / "in.sock"
    path.write_text("mine")
    make_way(path, socket.SOCK_STREAM)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("datagram", [False, True])
def test_a_second_agent_does_not_start(tmp_path: Path, *, datagram: bool) -> None:
    """It says where it cannot listen; the senders of the first one still reach it."""
    path = tmp_path / "in.sock"
    settings = ListenerSettings(source="q", protocol="unix", path=path, datagram=datagram)
    agent = AgentSettings(listeners=(), ticks={})
    client = {"bootstrap.servers": "127.0.0.1:1"}

    async def work() -> None:
        with bound(path, KINDS[datagram]) as first:
            second: Any = make_listener(settings, agent, client, "raw.q")
            with pytest.raises(OSError, match=r"cannot listen on .*in\.sock for source q.*in use"):
                await second.start()
            with socket.socket(socket.AF_UNIX, KINDS[datagram]) as sender:
                sender.connect(str(path))
                sender.send(b"<13>still here")
                assert heard(first) == b"<13>still here"

    asyncio.run(work())
