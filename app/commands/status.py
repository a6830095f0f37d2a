"""`northbound status`: processes, what went through each listener, topics and lag."""

from typing import Any

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.config import DEFAULT_PATH, Config
from app.output import as_json, fail, rows

NOTHING = "Nothing runs here; start it with `northbound up`."
WORRIES = ("spooled", "dropped", "dropped_bytes", "kernel_drops", "connections_refused")
"""Figures of a listener that are shown when they are not zero."""
MISSED = ("skipped", "summed", "refused", "expired")
"""Those of a delivery or a response."""


def status(*, json: JsonOption = False, config: ConfigOption = DEFAULT_PATH) -> None:
    """Show what runs, what flows and how far behind it is. Status 1 if something is not ready.

    Example: northbound status --json
    """
    from app.reading import ReadingError
    from app.status import read_status
    from app.up_lock import owner

    settings = configured(config)
    processes = _processes(read_status(settings.state))
    if settings.kafka.embedded is not None and not processes and owner(settings.state) is None:
        fail(NOTHING)
    try:
        topics = _topics(settings)
    except ReadingError as error:
        topics = []
        problem: str | None = str(error)
    else:
        problem = None
    if as_json(json):
        table = [{"kind": "process", **row} for row in processes]
        table += [{"kind": "topic", **row} for row in topics]
        rows(table, [], json=True)
    else:
        rows(processes, ["process", "pid", "ready", "what"], json=False, title="Processes")
        columns = ["topic", "partitions", "records_at_most", "lag"]
        rows(topics, columns, json=False, title="Topics")
    if problem is not None:
        fail(problem)
    if not processes:
        fail(NOTHING)
    if not all(row["ready"] for row in processes):
        raise typer.Exit(1)


def _processes(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    table = []
    for name, item in found.items():
        if "listeners" in item:
            what = "; ".join(map(_listener, item["listeners"]))
        elif "deliveries" in item:
            what = "; ".join(
                f"{each['name']} → {each['to'] or 'nobody'} {each['delivered']:,} records, "
                f"lag {'unknown' if each['lag'] is None else each['lag']}"
                + "".join(f" {name} {each[name]:,}" for name in MISSED if each.get(name))
                + (f" paused: {' and '.join(each['held'])}" if each.get("held") else "")
                for each in item["deliveries"]
            )
        else:
            what = "; ".join(
                f"{each['name']} {each['committed']:,} records from "
                f"{len(each['partitions'])} partitions, lag {each['lag']:,}"
                for each in item.get("engines", [])
            )
            what += "".join(f"; not in use: {each}" for each in item.get("not_in_use", []))
        row = {"process": name, "pid": item["pid"], "ready": item.get("ready", False)}
        table.append({**row, "what": what, "details": item})
    return table


def _listener(ledger: dict[str, Any]) -> str:
    figures = {"received": ledger["received"], "published": ledger["published"]}
    figures |= {"refused": sum(ledger.get("refused", {}).values())}
    figures |= {name: ledger.get(name, 0) for name in WORRIES}
    shown = [
        f"{name} {count:,}"
        for name, count in figures.items()
        if count or name in ("received", "published")
    ]
    return " ".join([str(ledger["address"]), *shown])


def _topics(config: Config) -> list[dict[str, Any]]:
    from app.lag import lags

    return [
        {
            "topic": topic,
            "partitions": each.partitions,
            "records_at_most": each.offsets,
            "lag": each.lag,
        }
        for topic, each in lags(config).items()
    ]
