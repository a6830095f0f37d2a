"""`northbound enrichment load|show`: tables that enrichments read from topics."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.commands.topics import connected, reported
from app.config import DEFAULT_PATH, Config
from app.output import WRONG_USAGE, fail, rows

if TYPE_CHECKING:
    from app.config.enrichment import Enrichment

app = typer.Typer(
    help="Dictionaries in topics: fill them, and see what they hold.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="Of the topic, without `enrichment.`.")]


@app.command()
def load(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="CSV with a header, JSON or YAML.")],
    *,
    merge: Annotated[bool, typer.Option("--merge", help="Keep keys that FILE has not.")] = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Make the topic hold the rows of FILE, all at once; workers take them up while they run.

    Example: northbound enrichment load departments departments.csv
    """
    from app import audit
    from app.dictionary_topics import changes, contents, write
    from app.lookups import LookupErrors, load_rows
    from app.reading import ReadingError

    settings = configured(config)
    entry = _entry(settings, name)
    key = entry.key or ""
    try:
        found, version = load_rows(file, key, entry.match or "exact")
    except LookupErrors as error:
        fail(error)
    client, topic = settings.client(), settings.names.enrichment(name)
    with reported():
        connected(settings)
        try:
            changed = list(changes(contents(client, topic), found, key, merge=merge))
        except ReadingError as error:
            fail(f"{error}. `northbound topics create` makes it.")
        removed = sum(value is None for _, value in changed)
        written = len(changed) - removed
        if changed:
            write(client, topic, changed)
            details = {"file": version, "written": str(written), "removed": str(removed)}
            audit.record(client, settings.names, "enrichment.load", name, details)
    typer.echo(
        f"{topic}: {written} rows written, {removed} removed, {len(found) - written} as before."
    )


@app.command()
def show(
    name: NameArgument, *, json: JsonOption = False, config: ConfigOption = DEFAULT_PATH
) -> None:
    """Show the rows of a topic.

    Example: northbound enrichment show departments
    """
    from app.dictionary_topics import contents, row_of
    from app.reading import ReadingError

    settings = configured(config)
    entry = _entry(settings, name)
    key, match = entry.key or "", entry.match or "exact"
    with reported():
        connected(settings)
        try:
            present = contents(settings.client(), settings.names.enrichment(name))
        except ReadingError as error:
            fail(f"{error}. `northbound topics create` makes it.")
    table, passed = [], 0
    for text, value in present.items():
        try:
            _, row = row_of(text.encode(), value, key, match)
        except ValueError:
            passed += 1
            continue
        table.append(row or {})
    columns = list(dict.fromkeys(column for row in table for column in row))
    rows(table, columns or [key], json=json, title=name)
    if passed:
        fail(f"{passed} records are no rows; workers pass over them")


def _entry(settings: Config, name: str) -> "Enrichment":
    """The first enrichment that reads the topic, which says what its keys are called."""
    found = next((entry for entry in settings.enrich if entry.topic == name), None)
    if found is None:
        known = ", ".join(settings.dictionary_topics) or "none"
        text = f"saw {name!r}, expected a topic of an enrichment in northbound.yaml: {known}"
        fail(text, WRONG_USAGE)
    return found
