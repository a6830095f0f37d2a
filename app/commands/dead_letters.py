"""`northbound dead-letters list|replay`: what could not be parsed, and another try at it."""

from collections import Counter
from typing import Annotated, Any

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.config import DEFAULT_PATH
from app.output import as_json, errors, fail, rows

app = typer.Typer(help="What could not become an event, and another try at it.")

SourceOption = Annotated[str | None, typer.Option(help="Only this source.")]


@app.command("list")
def list_(
    *,
    source: SourceOption = None,
    summary: Annotated[bool, typer.Option(help="Counts by source, stage and reason.")] = False,
    count: Annotated[int, typer.Option("--count", "-n", help="The newest so many; 0: all.")] = 0,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show dead letters with their reason and raw bytes.

    Example: northbound dead-letters list --source qumulo --summary
    """
    from app.reading import ReadingError, read
    from schemas.codec import decode

    settings = configured(config)
    found: list[dict[str, Any]] = []
    try:
        for message in read(settings.client(), [settings.names.dead_letters]):
            _, letter = decode(message.value() or b"")
            if source in {None, letter["source"]}:
                found.append(letter)
    except ReadingError as error:
        fail(error)
    if summary:
        counted = Counter((item["source"], item["stage"], item["reason"]) for item in found)
        table = [
            {"source": key[0], "stage": key[1], "reason": key[2], "count": number}
            for key, number in counted.most_common()
        ]
        rows(table, ["count", "source", "stage", "reason"], json=json, title="Dead letters")
        return
    shown = [_shown(letter) for letter in (found[-count:] if count else found)]
    rows(shown, ["time", "source", "stage", "reason", "raw"], json=json, title="Dead letters")
    if shown and not as_json(json):
        errors.print(
            "`northbound dead-letters replay` sends them again, after a fix.", markup=False
        )


@app.command()
def replay(
    *,
    source: SourceOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="From the oldest kept, not from where the last one ended.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Send dead letters to their raw topics again; events made now keep their uid.

    Example: northbound dead-letters replay --source qumulo
    """
    from app.dead_letters import send_again
    from app.reading import ReadingError

    settings = configured(config)
    try:
        sent = send_again(settings.client(), settings.names, source=source, everything=everything)
    except ReadingError as error:
        fail(error)
    if not sent and not as_json(json):
        typer.echo("Nothing to send: no dead letter since the last replay (--all repeats it).")
        return
    table = [{"source": name, "sent": number} for name, number in sent.items()]
    rows(table, ["source", "sent"], json=json, title="Sent again")


def _shown(letter: dict[str, Any]) -> dict[str, Any]:
    import base64
    import datetime as dt

    raw = letter.pop("raw")
    key = letter.pop("key")
    when = dt.datetime.fromtimestamp(letter["timestamp"] / 1000, dt.UTC)
    try:
        content = {"raw": raw.decode()}
    except UnicodeDecodeError:
        content = {"raw_base64": base64.b64encode(raw).decode()}
    return {
        "time": when.isoformat(timespec="milliseconds"),
        **letter,
        "key": None if key is None else key.decode(errors="replace"),
        **content,
    }
