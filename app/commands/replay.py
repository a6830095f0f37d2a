"""`northbound replay`: a file's lines into a source's raw topic, as an agent would put them."""

import datetime as dt
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import orjson
import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.config import DEFAULT_PATH
from app.ingest.framing import MODES, Framer
from app.output import WRONG_USAGE, as_json, errors, fail

if TYPE_CHECKING:
    from app.config import Config
    from app.config.sources import Source
    from app.ingest.batch import KeyBy
    from app.ingest.publisher import Publisher

READ_SIZE = 256 * 1024
SLICE_S = 0.05
FLUSH_S = 300.0
HALF_A_YEAR = dt.timedelta(days=150)
"""Nearly: the lines of a file are older than its last change."""


def replay(
    file: Annotated[Path, typer.Argument(help="Its lines; - for standard input.")],
    *,
    source: Annotated[str, typer.Option(help="Which source the lines belong to.")],
    framing: Annotated[str, typer.Option(help="lf | octet | nul | auto")] = "lf",
    rate: Annotated[int, typer.Option(help="Lines a second; 0: as fast as Kafka takes them.")] = 0,
    key: Annotated[
        str, typer.Option(help="host: by the host in each line; spread: evenly; else a fixed key.")
    ] = "host",
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Publish a file's lines to a raw topic and wait until Kafka has all of them.

    A file of the past wants a source of its own (docs/ingest.md): no correlation counts a line that
    is further behind the newest event of its partition than `lateness`, and this command says so.
    Lines whose times name no year (rfc3164) get the year nearest to today unless that source has
    `options: {reference: DAY}`.

    Example: northbound replay /var/log/qumulo.log --source qumulo
    """
    from app.ingest.publisher import Publisher
    from app.ingest.topics import IngestError, require_topics

    settings = configured(config)
    if source not in settings.sources:
        fail(f"no source {source!r}; expected one of {', '.join(settings.sources)}", WRONG_USAGE)
    mode = next((each for each in MODES if each == framing), None)
    if mode is None:
        fail(f"no framing {framing!r}; expected one of {', '.join(MODES)}", WRONG_USAGE)
    if hint := undated(file, settings.sources[source], dt.datetime.now(dt.UTC)):
        errors.print(hint, markup=False, soft_wrap=True)
    client, topic = settings.client(), settings.names.raw(source)
    framer = Framer(mode)
    try:
        require_topics(client, [topic])
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines:
            batches = _frames(framer, lines)
            first = next((each for each in batches if each), [])
            _tell_of_late(settings, source, first, key)
            publisher = Publisher(client, topic)
            _send(publisher, chain([first], batches), key, rate)
    except IngestError as error:
        fail(error)
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    left = publisher.flush(FLUSH_S)
    result = {
        "source": source,
        "topic": topic,
        "published": publisher.published,
        "refused": publisher.refused.total(),
        "empty": framer.empty,
        "malformed": framer.malformed,
    }
    if as_json(json):
        print(orjson.dumps(result).decode())
    else:
        print(f"{publisher.published:,} lines are in {topic}.")
    if left or publisher.refused:
        fail(f"{left + publisher.refused.total()} lines did not get into Kafka")
    if framer.error:
        fail(
            f"{file}: {framer.error}. What follows was not published: "
            f"{framer.remainder[:60]!r}... Is --framing {mode} right?"
        )


def _tell_of_late(settings: "Config", source: str, lines: list[bytes], key: str) -> None:
    """The first lines of a file show whether correlations would count them."""
    if not settings.all_rules:
        return
    from app.late_lines import told  # loads what reads lines

    if hint := told(settings, source, lines, key):
        errors.print(hint, markup=False, soft_wrap=True)


def undated(file: Path, source: "Source", now: dt.datetime) -> str | None:
    """What to do where a file is so old that its times, if they name no year, get a wrong one.

    Not its records' time stamps: Kafka would remove them at once after the retention's time.
    """
    from topology.formats import SOURCE_FORMATS

    chosen = SOURCE_FORMATS.get(source.format or "")
    if chosen is None or "reference" not in chosen.options or "reference" in source.options:
        return None
    if str(file) == "-" or not file.exists():
        return None
    written = dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
    if now - written < HALF_A_YEAR:
        return None
    return (
        f"{file} was last written on {written:%Y-%m-%d}. Times in it that name no year get the one "
        f"nearest to today. If it has such lines, stop this, give the source "
        f"`options: {{reference: {written:%Y-%m-%d}}}`, restart the workers and replay it then."
    )


def _frames(framer: Framer, lines: BinaryIO) -> Iterator[list[bytes]]:
    while not framer.error and (data := lines.read(READ_SIZE)):
        yield framer.feed(data)
    yield framer.end()


def _send(publisher: "Publisher", batches: Iterable[list[bytes]], key: str, rate: int) -> None:
    """Publish within the rate, and never more than the publisher has room for."""
    fixed = None if key in ("host", "spread") else key.encode()
    by: KeyBy = "host" if key == "host" else "spread" if key == "spread" else "peer"
    started = time.monotonic()
    sent = 0
    step = max(1, int(rate * SLICE_S)) if rate else 10_000
    for batch in batches:
        for first in range(0, len(batch), step):
            lines = batch[first : first + step]
            publisher.publish(lines, fixed, by)
            sent += len(lines)
            publisher.poll(time.monotonic())
            while publisher.full:
                time.sleep(0.002)
                publisher.poll(time.monotonic())
            ahead = sent / rate - (time.monotonic() - started) if rate else 0.0
            if ahead > 0:
                time.sleep(ahead)
