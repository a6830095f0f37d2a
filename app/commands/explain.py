"""`northbound explain`: what an alert or an event was made of, down to the raw lines."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.config import DEFAULT_PATH, Config
from app.output import as_json, fail

if TYPE_CHECKING:
    from confluent_kafka import Message

    from app.lineage import Place


def explain(
    uid: Annotated[
        str, typer.Argument(help="metadata.uid of an event or an alert, or finding_info.uid.")
    ],
    *,
    events: Annotated[int, typer.Option(help="Show at most so many events of an alert.")] = 100,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show an alert, its events and their exact raw lines; or an event, its line, and what is made
    of it now.

    Example: northbound explain MU5FnyvNpc4-2-348
    """
    from app.broker.cluster_error import ClusterError
    from app.lineage import alerts, place_of, raw_records
    from app.origins import Origins
    from app.reading import ReadingError

    settings = configured(config)
    client, names = settings.client(), settings.names
    origins = Origins(client, [names.raw(source) for source in settings.sources])
    try:
        place = place_of(uid, origins)
        if place is not None:
            found = list(raw_records(client, [place]))
            if not found:
                fail(f"{uid}: {_where(place)} is not kept any more, or was never written")
            _show_event(settings, place, found[0], json=as_json(json))
            return
        feeds = [
            names.alerts(name) for name, each in settings.tenants.items() if "alerts" in each.feeds
        ]
        said = alerts(client, feeds, uid)
        if not said:
            fail(f"{uid}: no alert with this uid is kept in {', '.join(feeds) or 'any topic'}")
        linked = [each["uid"] for each in said[-1]["finding_info"].get("related_events", ())]
        places = {each: _known_place(each, origins) for each in linked[:events]}
        kept = raw_records(client, [at for at in places.values() if at is not None])
        records = {(each.topic(), each.partition(), each.offset()): each for each in kept}
        lines = [
            (each, at, records.get((at.topic, at.partition, at.offset)) if at else None)
            for each, at in places.items()
        ]
        _show_alert(said, lines, len(linked), json=as_json(json))
    except (ReadingError, ClusterError) as error:
        fail(error)


def _known_place(uid: str, origins: Mapping[str, str]) -> "Place | None":
    """The place of an alert's event; None where its source is not in northbound.yaml any more."""
    from app.lineage import place_of
    from app.reading import ReadingError

    try:
        return place_of(uid, origins)
    except ReadingError:
        return None


def _show_event(settings: Config, place: "Place", message: "Message", *, json: bool) -> None:
    from app.commands.tap import tap_of

    made = [orjson.loads(line) for line in tap_of(settings, "enrich", []).lines([message])]
    if json:
        _write({**_record(place, message), "events": made})
        return
    print(f"{_where(place)}  received {_time(message)}")
    print(_line(message))
    print("\nWhat is made of it now:")
    for event in made:
        print(orjson.dumps(event, option=orjson.OPT_INDENT_2).decode())


def _show_alert(
    said: Sequence[dict[str, Any]],
    lines: "Sequence[tuple[str, Place | None, Message | None]]",
    linked: int,
    *,
    json: bool,
) -> None:
    last = said[-1]
    if json:
        _write({"alert": last, "states": [each["unmapped"]["state"] for each in said]})
        for uid, place, message in lines:
            _write({"uid": uid, **(_record(place, message) if place else {"line": None})})
        return
    info, more = last["finding_info"], last["unmapped"]
    print(f"{info['title']}  {last.get('severity', '')}  {more['state']}")
    for key, value in more.get("group", {}).items():
        print(f"  {key}: {value}")
    print(f"  {last['message']}" if "message" in last else "")
    count = info.get("related_events_count", linked)
    if not linked:
        print(f"\n{count} events; the tenant's format does not name them")
        return
    print(f"\n{count} events, {linked} of them linked, {len(lines)} shown:")
    for uid, place, message in lines:
        if place is None:
            print(f"\n{uid}\n  its raw topic is of no source in northbound.yaml")
            continue
        print(f"\n{uid}  {_where(place)}" + (f"  received {_time(message)}" if message else ""))
        print(_line(message) if message else "  not kept any more")


def _record(place: "Place", message: "Message | None") -> dict[str, Any]:
    where: dict[str, Any] = {
        "topic": place.topic,
        "partition": place.partition,
        "offset": place.offset,
    }
    if message is None:
        return {**where, "line": None}
    return {**where, "received": _time(message), "line": _line(message)}


def _where(place: "Place") -> str:
    return f"{place.topic} [{place.partition}] at {place.offset}"


def _time(message: "Message") -> str:
    _, millis = message.timestamp()
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds")


def _line(message: "Message") -> str:
    """The exact line; bytes that are no UTF-8 as \\xNN."""
    return (message.value() or b"").decode("utf-8", "backslashreplace")


def _write(entry: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(entry) + b"\n")
    sys.stdout.buffer.flush()
