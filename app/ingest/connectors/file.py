"""Files that grow, line by line: at least once across kill -9, exactly once across a clean stop.

Files are asked every `poll` seconds, as NFS says nothing by itself. How far each has got is saved
once a second, and only as far as Kafka has acknowledged with acks=all.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from app.ingest.confirming import ConfirmingPublisher
from app.ingest.connectors.checkpoint import Checkpoint
from app.ingest.connectors.connector import PublishingConnector
from app.ingest.connectors.tails import Piece, Tails
from app.ingest.framing import LIMIT, Oversize
from app.ingest.ledger import Ledger
from app.ingest.settings import AgentSettings, ConnectorSettings

if TYPE_CHECKING:
    from app.config import Config
    from app.config.connectors import FileConnector as Keys

log = logging.getLogger(__name__)

SAVE_S: Final = 1.0
RETRY_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class FileSettings(ConnectorSettings):
    """`paths`: absolute patterns. `folder`: where the places are saved. `poll_s`: seconds."""

    kind: ClassVar[str] = "file"

    paths: tuple[str, ...]
    folder: Path
    start: Literal["beginning", "end"] = "beginning"
    poll_s: float = 0.5
    limit: int = LIMIT
    oversize: Oversize = "truncate"

    @property
    def place(self) -> str:
        """The first pattern, for people."""
        return self.paths[0] + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")


class FileConnector(PublishingConnector[FileSettings]):
    """Follows files. `ledger.connections` is how many."""

    def __init__(self, settings: FileSettings, publisher: ConfirmingPublisher) -> None:
        super().__init__(settings, publisher)
        self._checkpoint = Checkpoint(settings.folder, f"file-{settings.source}")
        self._tails: Tails | None = None
        self._saved: list[dict[str, Any]] = []
        self._saved_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on where the checkpoint says. Raises OSError with advice."""
        settings = self.settings
        try:
            known = await asyncio.to_thread(self._checkpoint.open)
            self._tails = Tails(
                settings.paths,
                settings.limit,
                settings.oversize,
                known=known or (),
                begin_at_end=settings.start == "end" and known is None,
            )
            pieces = await asyncio.to_thread(self._tails.look)
            if known is None:  # from now on a file that appears is read from its beginning
                self._saved = self._checkpoint.record(self._tails.contents)
                await asyncio.to_thread(self._checkpoint.save, self._saved)
        except OSError:
            self._checkpoint.close()  # for who follows them instead
            raise
        for piece in pieces:
            self._take(piece)
        log.info("Following files. paths=%s source=%s", settings.place, settings.source)
        self._task = asyncio.create_task(self._run(self._tails), name="files")

    async def _run(self, tails: Tails) -> None:
        while not self.ending.is_set():
            await self.room()
            if not tails.more:
                await self.pause(self.settings.poll_s)
            try:
                for piece in await asyncio.to_thread(tails.look):
                    self._take(piece)
                await self._save(tails)
            except Exception:
                for tail in tails.contents:
                    tail.rewind()
                log.exception("Files cannot be followed. paths=%s", self.settings.place)
                await self.pause(RETRY_S)

    def _take(self, piece: Piece) -> None:
        tail, found, place = piece
        receipt = None
        if found.lines:
            key = self.settings.key
            receipt, _ = self.publisher.confirm(found.lines, tail.key, key, tail)
        tail.pending.append((receipt, place))
        ledger = self.ledger
        ledger.received += len(found.lines)
        ledger.bytes += found.used
        ledger.empty += found.empty
        ledger.oversize += found.oversize
        ledger.dropped_bytes += found.dropped
        if receipt is None:
            tail.settle()

    async def _save(self, tails: Tails, *, now: bool = False) -> None:
        """Save what has changed, once a second; a full disk is no reason to stop reading."""
        if not now and time.monotonic() - self._saved_at < SAVE_S:
            return
        self._saved_at = time.monotonic()
        record = self._checkpoint.record(tails.contents)
        if _places(record) == _places(self._saved):
            return
        try:
            await asyncio.to_thread(self._checkpoint.save, record)
        except OSError as error:
            log.error(  # noqa: TRY400  # the trace says nothing more
                "Places in files cannot be saved; after a kill lines since then come twice. "
                "folder=%s error=%s",
                self.settings.folder,
                error.strerror,
            )
        else:
            self._saved = record

    def account(self) -> Ledger:
        """The ledger as of now."""
        if self._tails is not None:
            self.ledger.connections = len(self._tails.tails)
            self.ledger.faults["truncated"] = self._tails.truncated
        return super().account()

    async def stop(self, drain_s: float) -> None:  # noqa: ARG002  # what is in files stays there
        """Read no more."""
        self.ending.set()
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """Save where Kafka has all up to."""
        if self._tails is not None:
            await self._save(self._tails, now=True)
            self._tails.close()
        self._checkpoint.close()
        await super().close()


def _places(record: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All but when files were last seen."""
    return [{**each, "seen": 0} for each in record]


def settings(config: "Config", keys: "Keys", _tls: object) -> FileSettings:
    """Keys of northbound.yaml as the connector is told them."""
    return FileSettings(
        source=keys.source,
        key=config.sources[keys.source].key,
        paths=tuple(str(config.home / Path(each).expanduser()) for each in keys.paths),
        folder=config.state / "connectors",
        start=keys.start,
        poll_s=keys.poll / 1000,
        limit=keys.max_line,
        oversize=keys.oversize,
    )


def make(
    chosen: FileSettings, agent: AgentSettings, client: Mapping[str, Any], topic: str
) -> FileConnector:
    """A connector that is not started."""
    return FileConnector(chosen, ConfirmingPublisher.of(agent, client, topic))
