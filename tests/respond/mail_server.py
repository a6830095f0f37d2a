"""A real mail server for tests: aiosmtpd, of Debian's package, as a process that can be killed."""

import datetime as dt
import os
import shutil
import signal
import subprocess
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from app.broker import certificates, ports
from tests.ingest.peers import listens, need, wait_for

PASSWORD = "s3cret-passw0rd"
PYTHON = "/usr/bin/python3"


class MailServer:
    """tests/respond/smtp_receiver.py on one port of 127.0.0.1, whose certificate is localhost's."""

    def __init__(self, folder: Path, *, secure: bool = True, at_once: bool = False) -> None:
        need("aiosmtpd")
        folder.mkdir()
        self.folder = folder
        self.port = ports.free("127.0.0.1")
        self.address = f"localhost:{self.port}"
        self.ca: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if secure:
            made = certificates.ensure(folder / "tls", ["localhost"], dt.datetime.now(dt.UTC))
            self.ca = made.ca
            shutil.copy(made.server, folder / "server.pem")
        if at_once:
            (folder / "at-once").touch()

    def start(self) -> None:
        """Once more, until it listens."""
        script = Path(__file__).with_name("smtp_receiver.py")
        environment = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, str(script), str(self.port), str(self.folder)],
                stdout=log,
                stderr=log,
                env=environment,
            )
        wait_for(lambda: listens(self.port), "a mail server that listens")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    def messages(self) -> list[EmailMessage]:
        """What it has taken, oldest first."""
        found = [message_from_bytes(each.read_bytes(), policy=default) for each in self._files()]
        return [each for each in found if isinstance(each, EmailMessage)]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.eml"))
