"""HTTP receivers as processes that can be killed and started again."""

import signal
import subprocess
import sys
from pathlib import Path

from app.broker import ports
from tests.ingest.peers import listens, wait_for


class HttpProcess:
    """tests/deliver/http_receiver.py, which writes what it takes to files in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = ports.free("127.0.0.1")
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Once more, until it listens."""
        script = Path(__file__).with_name("http_receiver.py")
        argv = [sys.executable, str(script), str(self.port), str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        wait_for(lambda: listens(self.port), "a receiver that listens")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(60)
            self._process = None
