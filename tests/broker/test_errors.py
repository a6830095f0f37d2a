"""A broker that cannot run says what to do, in one message."""

import errno
import socket
from pathlib import Path

import pytest

from app.broker import ports, server
from app.broker.errors import BrokerError, explain

LOG = """\
2026-11-23T09:00:01,000 WARN Something Some warning
2026-11-23T09:00:02,000 ERROR LogDirFailureChannel Error while writing to /d/kafka
java.io.IOException: {cause}
	at java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
"""


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("No space left on device", "/d is full. Free some space"),
        ("java.net.BindException: Address already in use", "in use by another program"),
        ("java.lang.UnsupportedClassVersionError", "Install Java 17 or newer"),
        ("There is insufficient memory for the Java Runtime", "Lower kafka.embedded.heap"),
        ("Failed to acquire lock on file .lock in /d", "Another Kafka broker uses /d"),
        ("Permission denied", "Give this user write access"),
        ("UnsupportedVersionException: Can't read version 4 of X", "written by a newer Kafka"),
        ("something new", "The end of its log"),
    ],
)
def test_the_log_is_explained(cause: str, advice: str) -> None:
    """Each cause gives its advice, and the log's telling lines stay in sight."""
    text = explain(LOG.format(cause=cause), Path("/d"))
    assert advice in text
    assert cause in text
    assert "Some warning" not in text


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full before the broker runs gives the same advice and leaves no lock."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(server.jars, "class_path", lambda **_: [])
    monkeypatch.setattr(server.certificates, "ensure", full)
    broker = server.EmbeddedKafka(tmp_path, listen="127.0.0.1:0", advertise="localhost:0")
    for _ in range(2):
        with pytest.raises(BrokerError, match=r"is full\. Free some space"):
            broker.start()


def test_a_port_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port, the way to find its user and the configuration key are named."""
    monkeypatch.setattr(server.jars, "class_path", lambda **_: [])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = server.EmbeddedKafka(tmp_path, listen=f"127.0.0.1:{port}")
        with pytest.raises(BrokerError) as caught:
            broker.start()
    text = str(caught.value)
    assert f"Port {port} is in use" in text
    assert f"ss -ltnp 'sport = :{port}'" in text
    assert "kafka.embedded.northbound.listen" in text


def test_an_address_of_another_machine() -> None:
    """An address that this machine does not have is named with its key."""
    with pytest.raises(BrokerError, match=r"Cannot listen on 192\.0\.2\.1:9094.*Change some\.key"):
        ports.require("192.0.2.1:9094", "some.key")


def test_an_unwritable_folder(tmp_path: Path) -> None:
    """A data folder that cannot be made is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"Cannot use .*file"):
        server.EmbeddedKafka(tmp_path / "file" / "data").start()


def test_another_number_of_brokers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster keeps its number of brokers."""
    monkeypatch.setattr(server.jars, "class_path", lambda **_: [])
    (tmp_path / "cluster.json").write_text('{"cluster": "x", "brokers": 3, "ports": {}}')
    with pytest.raises(BrokerError, match="holds a cluster of 3 broker"):
        server.EmbeddedKafka(tmp_path, listen="127.0.0.1:0").start()
