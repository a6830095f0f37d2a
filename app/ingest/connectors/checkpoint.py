"""How far each content has got, on disk: written whole, then renamed, so that a kill leaves one."""

import contextlib
import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from app.ingest.connectors.tail import Tail


class Checkpoint:
    """One file in `folder`, of one agent at a time: the lock beside it is held until `close`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._path = folder / f"{name}.json"
        self._lock: IO[bytes] | None = None

    def open(self) -> list[Tail] | None:
        """What was saved last; None if nothing was. Raises OSError with advice."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._path.with_suffix(".lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                error.errno, f"{self._path} is in use by another agent; stop that one first"
            ) from None
        except OSError as error:
            problem = f"{self._folder} cannot be written ({error.strerror}); it keeps the places"
            raise OSError(error.errno, f"{problem} in files; make it writable") from None
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return [Tail.from_dict(each) for each in json.loads(text)["files"]]
        except (KeyError, TypeError, ValueError) as error:
            raise OSError(
                0,
                f"{self._path} is damaged ({error!r}): put it right, or remove it to read all "
                "files from their beginning again",
            ) from None

    @staticmethod
    def record(tails: Sequence[Tail]) -> list[dict[str, Any]]:
        """What is to be saved, as of now."""
        return [tail.as_dict() for tail in tails if tail.acked.offset]

    def save(self, files: list[dict[str, Any]]) -> None:
        """Replace what was saved. Raises OSError; then the file is as it was."""
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  # opened with a mode
            json.dump({"version": 1, "files": files}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def close(self) -> None:
        """Let another agent have it."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.close()
            self._lock = None
