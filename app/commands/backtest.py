"""`northbound backtest`: what rules would have fired on what was received in the past."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.commands.options import ConfigOption, JsonOption, compiled, configured, warn
from app.config import DEFAULT_PATH
from app.output import WRONG_USAGE, as_json, errors, fail

if TYPE_CHECKING:
    from app.config import Config
    from app.list_edits import Edit


def backtest(
    *,
    from_: Annotated[
        str, typer.Option("--from", help="2026-11-20T09:00:00Z, or so long ago: 24h, 7d.")
    ],
    to: Annotated[str, typer.Option(help="The same; now.")] = "0s",
    rules: Annotated[
        list[Path] | None,
        typer.Option(help="Rule files or folders in place of those of northbound.yaml."),
    ] = None,
    lists: Annotated[
        list[str] | None,
        typer.Option(
            "--list", help="NAME=FILE: a CSV file that a list has from the start. Repeatable."
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="As this tenant sees it; all.")] = None,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run rules over what the raw topics received, and show the final alerts there would have been.

    Nothing is written. Lists are empty at first, or have the rows of a file as `northbound lists
    import` takes it. Lines before --from are read as far back as windows reach, so that counts
    are complete; a window that is open at the end of what is read is closed there, and told so.
    Correlations of --rules find the rules that they count in northbound.yaml, too.

    Example: northbound backtest --rules my-rules --from 24h
    """
    from app.backtesting import Backtest, Past, reach_ms
    from app.config import ConfigError
    from app.origins import Origins
    from app.planning import build_plan
    from app.reading import ReadingError

    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    start, end = _moment("--from", from_, now_ms), _moment("--to", to, now_ms)
    if start >= end:
        fail(f"--from {from_} is not before --to {to}", WRONG_USAGE)
    settings = configured(config)
    client = settings.client()
    topics = [settings.names.raw(source) for source in settings.sources]
    if tenant is not None and tenant not in settings.tenants:
        fail(f"no tenant {tenant}; expected one of {', '.join(settings.tenants)}", WRONG_USAGE)
    filled = _filled(settings, lists or ())
    try:
        plan = build_plan(settings, Origins(client, topics))
        if rules:
            found = compiled(rules, settings.state / "cache", config=settings)
            if not found.rules.events:
                fail(f"no rules under {', '.join(map(str, rules))}")
            plan = replace(plan, rules=found)
            warn(plan.rules)
        if tenant is not None:
            plan = replace(plan, tenants={tenant: plan.tenants[tenant]})
        past = Past(client, topics, start - reach_ms(plan), end)
        run = Backtest(plan, past.starts(), filled)
        read = fired = 0
        for messages in past.records():
            read += len(messages)
            fired += _show(run.take(messages), start, is_open=False, json=as_json(json))
        fired += _show(run.finish(), start, is_open=True, json=as_json(json))
    except (ConfigError, ReadingError) as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(1) from None
    errors.print(f"{read:,} records read, {fired:,} final alerts.")


def _filled(settings: "Config", given: Sequence[str]) -> "dict[str, tuple[str, list[Edit]]]":
    """What lists have at first, by name, and the file that says so."""
    from app.commands.lists import known_list, read_rows
    from app.list_edits import LARGEST, Edit

    found: dict[str, tuple[str, list[Edit]]] = {}
    for each in given:
        name, _, path = each.partition("=")
        if not path or name in found:
            fail(f"--list: saw {each!r}, expected NAME=FILE, once for each list", WRONG_USAGE)
        listed = known_list(settings, name)
        edits = [Edit(key, values) for key, values in read_rows(Path(path), listed)]
        for text in (text for edit in edits for text in (*edit.key, *(edit.values or {}).values())):
            if len(text.encode()) > LARGEST:
                fail(f"{path}: {text[:40]!r}… has more than {LARGEST} bytes", WRONG_USAGE)
        found[name] = path, edits
    return found


def _moment(option: str, text: str, now_ms: int) -> int:
    """Milliseconds since the epoch."""
    from app.config.fields import duration

    try:
        return now_ms - duration(text)
    except (ValueError, TypeError):
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(
            f"{option}: saw {text!r}, expected a time such as 2026-11-20T09:00:00Z or how long ago "
            "such as 24h",
            WRONG_USAGE,
        )
    if found.tzinfo is None:
        fail(
            f"{option}: {text} has no zone; write {found.isoformat()}Z, or +01:00 for Z",
            WRONG_USAGE,
        )
    return int(found.timestamp() * 1000)


def _show(found: list[dict[str, Any]], start_ms: int, *, is_open: bool, json: bool) -> int:
    """Print finals from `start_ms` on; how many."""
    shown = [alert for alert in found if alert["time"] >= start_ms]
    for alert in shown:
        if json:
            sys.stdout.buffer.write(orjson.dumps({"open": is_open, "alert": alert}) + b"\n")
            continue
        moment = datetime.fromtimestamp(alert["time"] / 1000, UTC).isoformat(timespec="seconds")
        group = " ".join(f"{k}={v}" for k, v in alert["unmapped"].get("group", {}).items())
        count = alert["finding_info"].get("related_events_count", 1)
        end = "  (window still open)" if is_open else ""
        print(f"{moment}  {alert['finding_info']['title']}  {group}  {count} events{end}")
    sys.stdout.flush()
    return len(shown)
