"""`northbound tail`: what flows through a topic, as text or JSON lines."""

import base64
import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.commands.options import (
    ConfigOption,
    CountOption,
    FollowOption,
    FromStartOption,
    configured,
)
from app.config import DEFAULT_PATH, Config
from app.output import WRONG_USAGE, errors, fail

if TYPE_CHECKING:
    from app.schema_registry.reading import RegisteredReader

FEEDS = ("events", "alerts", "raw", "normalized", "matches", "dead-letters", "audit")


def tail(
    feed: Annotated[str, typer.Argument(help=" | ".join(FEEDS))] = "events",
    *,
    tenant: Annotated[str | None, typer.Option(help="For events and alerts.")] = None,
    source: Annotated[str | None, typer.Option(help="For raw and normalized.")] = None,
    from_start: FromStartOption = False,
    follow: FollowOption = True,
    count: CountOption = 0,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Print records as they are committed.

    Example: northbound tail alerts --tenant acme --from-start
    """
    from app.reading import ReadingError, read
    from app.schema_registry.client import RegistryError
    from app.schema_registry.reading import RegisteredReader
    from app.schema_registry.subjects import opened

    settings = configured(config)
    topics = _topics(settings, feed, tenant, source)
    registry = opened(settings) if feed in {"events", "alerts"} else None
    registered = None if registry is None else RegisteredReader(registry)
    seen = 0
    if follow and not from_start and sys.stdout.isatty():
        errors.print(
            f"Waiting for new records of {', '.join(topics)}. Ctrl-C ends; --from-start shows all "
            "that is kept.",
            markup=False,
        )
    try:
        for message in read(settings.client(), topics, from_start=from_start, follow=follow):
            value = message.value()
            if value is None:
                continue
            line = value.replace(b"\n", b"") if feed == "normalized" else _line(value, registered)
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
            seen += 1
            if count and seen >= count:
                return
    except (ReadingError, RegistryError) as error:
        fail(error)
    except KeyboardInterrupt:
        return


def _topics(settings: Config, feed: str, tenant: str | None, source: str | None) -> list[str]:
    names = settings.names
    if feed in {"events", "alerts"}:
        topic = names.events if feed == "events" else names.alerts
        chosen = [
            name
            for name, found in settings.tenants.items()
            if feed in found.feeds and tenant in {None, name}
        ]
        if not chosen:
            fail(f"no tenant {tenant or ''} with {feed}; see `northbound tenants list`")
        return [topic(name) for name in chosen]
    if feed in {"raw", "normalized"}:
        if feed == "normalized" and feed not in settings.expose:
            fail("no feed normalized here; `expose: [normalized]` in northbound.yaml makes it")
        if source is not None and source not in settings.sources:
            fail(f"no source {source}; expected one of {', '.join(settings.sources)}")
        of_source = names.raw if feed == "raw" else names.normalized
        return [of_source(name) for name in ([source] if source else settings.sources)]
    single = {"matches": names.matches, "dead-letters": names.dead_letters, "audit": names.audit}
    if feed not in single:
        fail(f"no feed {feed!r}; expected one of {', '.join(FEEDS)}", WRONG_USAGE)
    return [single[feed]]


def _line(value: bytes, registered: "RegisteredReader | None" = None) -> bytes:
    from schemas.codec import UnknownSchemaError, decode

    if registered is not None and (found := registered.decode(value)) is not None:
        return orjson.dumps(found, default=readable)
    try:
        name, record = decode(value)
    except UnknownSchemaError:
        return value
    return orjson.dumps({"record": name, **record}, default=readable)


def readable(value: Any) -> str:
    """Bytes of an Avro record as text where they are text, else as base64."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value)
