"""One broker process: its folder, its start and its end."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.broker import class_archive
from app.broker.errors import BrokerError, explain
from app.broker.java import Java
from app.broker.private_file import write_private
from app.broker.settings import LOG4J, as_begun, properties_text

FORMAT_S = 60.0
ENDED = 128 + signal.SIGTERM  # how a JVM exits when it was asked to
TAIL_BYTES = 64 * 1024
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs Kafka's classes."""

    java: Java
    jars: Sequence[Path]
    archive: Path
    heap: str

    def environment(self) -> dict[str, str]:
        return {**os.environ, "CLASSPATH": os.pathsep.join(map(str, self.jars))}


class Node:
    """Broker and controller number `number`, in a folder of its own."""

    def __init__(self, number: int, folder: Path, tools: Tools) -> None:
        self.number = number
        self.folder = folder
        self.data = folder / "kafka"
        self._tools = tools
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def write(self, settings: dict[str, str], cluster_id: str) -> None:
        """Write the configuration and, the first time, format the storage."""
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        write_private(properties, properties_text(as_begun(settings, properties)).encode())
        (self.folder / "log4j2.yaml").write_text(LOG4J, encoding="ascii")
        if (self.data / "meta.properties").is_file():
            return
        arguments = ["format", "--cluster-id", cluster_id, "--config", str(properties)]
        flags = (*QUICK, *class_archive.use(self._tools.archive))
        command = [*self._command("format.log", flags), "kafka.tools.StorageTool", *arguments]
        try:
            done = subprocess.run(
                [*command, "--feature", "transaction.version=2"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=FORMAT_S,
                check=False,
                env=self._tools.environment(),
                cwd=self.folder,
            )
        except subprocess.TimeoutExpired as error:
            raise BrokerError(
                f"Formatting the Kafka storage in {self.data} took more than {FORMAT_S:.0f} s. "
                "Is the disk or the machine overloaded? Start again when it is not."
            ) from error
        if done.returncode != 0:
            raise BrokerError(explain(done.stdout + done.stderr, self.folder))

    def launch(self) -> None:
        """Start the process. In a session of its own: Ctrl-C at a terminal is for the parent,
        which stops the workers before the broker."""
        heap = (f"-Xmx{self._tools.heap}", "-XX:+ExitOnOutOfMemoryError")
        archive = self._tools.archive
        classes = class_archive.use(archive) or class_archive.record(self.folder)
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        with self.console.open("wb") as console:
            self._process = subprocess.Popen(
                [
                    *self._command("server.log", (*heap, *classes)),
                    "kafka.Kafka",
                    str(self.folder / "server.properties"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=self._tools.environment(),
                cwd=self.folder,
                start_new_session=True,
            )

    def failure(self) -> str | None:
        """Why the process has ended, as what to do; None while it runs or was never started."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        code = process.returncode
        if code == -signal.SIGKILL:
            return (
                f"The Kafka broker {self.number} was killed (SIGKILL). If nobody did it by hand, "
                "the machine ran out of memory: lower kafka.embedded.heap or add memory."
            )
        return explain(self._tail(), self.folder)

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout: float) -> None:
        """Wait for the end; after `timeout` seconds kill it (Kafka's log recovers from that)."""
        process = self._process
        if process is None:
            return
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode == ENDED:
            class_archive.keep(self._tools.archive, self.folder)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _command(self, log: str, flags: Sequence[str]) -> list[str]:
        return [
            str(self._tools.java.program),
            *flags,
            "-Dlog4j2.configurationFile=log4j2.yaml",
            f"-Dnorthbound.log={log}",
            "-Djava.awt.headless=true",
        ]

    def _tail(self) -> str:
        """The end of what this run wrote: the log first, then what the JVM itself said."""
        texts = []
        for file, start in ((self.log, self._log_from), (self.console, 0)):
            with suppress(OSError), file.open("rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                begin = 0 if size < start else start  # rolled since
                opened.seek(max(begin, size - TAIL_BYTES))
                texts.append(opened.read().decode(errors="replace"))
        return "\n".join(texts)
