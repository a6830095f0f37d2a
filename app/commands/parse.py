"""`northbound parse`: lines in, one JSON object for each event of them out, in order."""

import base64
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import orjson
import typer

from app.commands.line_input import bound_of, frames_of, lines_of, source_of
from app.output import WRONG_USAGE, fail

if TYPE_CHECKING:
    import polars as pl

    from app.normalizer_files import Loaded
    from topology.normalize.normalizer import Normalizer
    from topology.parse.parsed import Option

TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"
Output: TypeAlias = Literal["ocsf", "ecs", "fields", "frames"]
OUTPUTS: tuple[Output, ...] = ("ocsf", "ecs", "fields", "frames")


def parse(
    file: Annotated[
        Path | None, typer.Argument(help="A log, instead of standard input.", show_default=False)
    ] = None,
    *,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, syslog, qumulo, qumulo-cloudwatch, rfc5424, rfc3164, cef, leef, kv, csv, "
            "tsv, xml, windows, json, regexp or plain.",
        ),
    ] = "auto",
    normalizer: Annotated[
        Path | None,
        typer.Option(help="A normalizer in YAML, which says format and options itself."),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            help="ocsf, ecs: events; fields: the parser's own; frames: base64 of each message"
        ),
    ] = "ocsf",
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the format: name=value. Repeatable.")
    ] = None,
    framing: Annotated[
        str,
        typer.Option(
            help="lines, or auto, lf, octet, nul: the bytes of one TCP connection; --option max=N "
            "bounds a message (octet: a larger count is a fault; else a message is split)."
        ),
    ] = "lines",
) -> None:
    """Parse lines: one JSON object for each line, in order; for each event of a record that holds
    several, such as an envelope of CloudWatch.

    A line that fails gives {"error": {"stage", "reason"}, "raw"}; bytes that are not UTF-8 come as
    "raw_base64". An event without a time of its own gets the present, and a time without a year the
    year that is nearest to it.

    Lines that fail are results, and the status is 0. It is 1 for a fault in --framing octet, after
    which nothing is read: what was framed before it is printed, the fault told on standard error.

    Example: northbound parse --format qumulo audit.log
    """
    from topology.formats import SOURCE_FORMATS

    if format_ not in SOURCE_FORMATS:
        fail(
            f"no format {format_!r}; --format expects one of {', '.join(SOURCE_FORMATS)}",
            WRONG_USAGE,
        )
    chosen = next((each for each in OUTPUTS if each == output), None)
    if chosen is None:
        fail(f"no output {output!r}; --output expects one of {', '.join(OUTPUTS)}", WRONG_USAGE)
    given = option or []
    if framing == "lines":
        batches = lines_of(source_of(file))
    else:
        bounds = [each for each in given if each.startswith("max=")]
        given = [each for each in given if each not in bounds]
        batches = frames_of(source_of(file), framing, bound_of(bounds))
    own: Normalizer | None = None
    if normalizer is None:
        options: Mapping[str, str] = _options(given, format_, SOURCE_FORMATS[format_].options)
    else:
        if format_ != "auto" or given:
            fail(f"--normalizer: {normalizer} says format and options; leave them out", WRONG_USAGE)
        loaded = _loaded(normalizer)
        own, format_, options = loaded.normalizer, loaded.format, loaded.options
    out = sys.stdout.buffer
    for lines in batches:
        if chosen == "frames":
            results = [base64.b64encode(line) for line in lines]
        elif chosen == "fields":
            results = field_texts(lines, format_, options, int(time.time() * 1000))
        else:
            now = int(time.time() * 1000)
            results = event_texts(lines, format_, options, now, f"{chosen}-json", own)
        out.writelines(result + b"\n" for result in results)
        out.flush()


def _loaded(path: Path) -> "Loaded":
    from app.config import ConfigError
    from app.normalizer_files import load_normalizer

    if not path.exists():
        fail(f"{path}: no such file", WRONG_USAGE)
    try:
        return load_normalizer(path, "UTC")
    except ConfigError as error:
        fail(error)


def _options(given: list[str], name: str, known: "Mapping[str, Option]") -> dict[str, str]:
    options = {}
    for pair in given:
        key, found, value = pair.partition("=")
        if not found:
            fail(f"--option expects name=value, saw {pair!r}", WRONG_USAGE)
        if key not in known:
            names = ", ".join(known) or "none"
            fail(f"format {name} has no option {key!r}; expected one of: {names}", WRONG_USAGE)
        expected = known[key].expected(value)
        if expected is not None:
            fail(f"--option {key}: saw {value!r}, expected {expected}", WRONG_USAGE)
        options[key] = value
    for key, option in known.items():
        if option.required and key not in options:
            fail(f"format {name} needs --option {key}=…: {option.meaning}", WRONG_USAGE)
    return options


def event_texts(
    lines: list[bytes],
    name: str,
    options: Mapping[str, str],
    received: int,
    form: str = "ocsf-json",
    normalizer: "Normalizer | None" = None,
) -> list[bytes]:
    """An event in JSON for each line, or each event of it.

    `received`: ms since the epoch. `normalizer`: instead of the format's own.
    """
    import polars as pl

    from topology.formats import decode
    from topology.northbound import SERIALIZERS

    decoded = decode(name, _raw(lines, received), options, normalizer)
    events = decoded.events.with_columns(pl.col("time").fill_null(received))
    encoded = SERIALIZERS[form](events).to_list()
    results = _failed(lines, name, decoded.failures)
    for place, text in zip(_places(events), encoded, strict=True):
        results[place] = _one_line(text)
    return [results[place] for place in sorted(results)]


def field_texts(
    lines: list[bytes], name: str, options: Mapping[str, str], received: int
) -> list[bytes]:
    """The parsers' own fields for each line, or each event of it. `received`: ms since the epoch.

    For rfc3164 also `timestamp_md`, what the line itself says of its time: MM-DDThh:mm:ss.
    """
    from topology.formats import read
    from topology.parse.bsd_timestamp import month_day_time

    found = read(name, _raw(lines, received), options)
    results = _failed(lines, name, found.failures)
    for fields in found.fields:
        places = _places(fields.frame)
        rows = _timed(fields.frame).iter_rows(named=True)
        for place, row in zip(places, rows, strict=True):
            values: dict[str, Any] = {"format": fields.format} if name == "auto" else {}
            values |= _printed(row)
            if fields.format == "rfc3164":
                values["timestamp_md"] = month_day_time(row["@timestamp"] or "")
            if "raw_base64" in (raw := _kept(lines[place[0]])):
                values |= raw
            results[place] = _one_line(orjson.dumps(values))
    return [results[place] for place in sorted(results)]


def _raw(lines: list[bytes], received: int) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(
        {"row": range(len(lines)), "raw": lines, "received": [received] * len(lines)},
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )


def _places(frame: "pl.DataFrame") -> list[tuple[int, int]]:
    """Of each row the line, and the number of the event in it."""
    rows = frame["row"].to_list()
    subs = frame["sub"].to_list() if "sub" in frame.columns else [0] * len(rows)
    return list(zip(rows, subs, strict=True))


def _failed(
    lines: list[bytes], name: str, failures: "pl.DataFrame"
) -> dict[tuple[int, int], bytes]:
    from topology.formats import splitter_of
    from topology.unfold import part

    splitter = splitter_of(name)
    results = {}
    for failure in failures.iter_rows(named=True):
        row, sub = failure["row"], failure.get("sub")
        own = None if splitter is None or sub is None else part(splitter, lines[row], sub)
        error = {"stage": failure["stage"], "reason": failure["reason"]}
        kept = _kept(lines[row] if own is None else own)
        results[row, sub or 0] = orjson.dumps({"error": error, **kept})
    return results


def _kept(line: bytes) -> dict[str, str]:
    try:
        return {"raw": line.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(line).decode()}


def _timed(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Times as text, those of a syslog header, too: a zone may put one out of Python's years."""
    import polars as pl

    def text(time: pl.Expr) -> pl.Expr:
        return time.dt.to_string(TIME).str.replace(".000000Z", "Z", literal=True)

    columns = [text(pl.col(name)) for name in frame.columns if frame[name].dtype == pl.Datetime]
    if "syslog" in frame.columns:
        time = text(pl.field("timestamp"))
        columns.append(pl.col("syslog").struct.with_fields(time))
    return frame.with_columns(columns)


def _printed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of fields without internal columns; JSON text as it is, pairs as an object."""
    from topology.pairs import SUFFIX, as_object
    from topology.parse.parsed import RARE

    values: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("row", "sub") or name.startswith("@") or (name in RARE and value is None):
            continue
        if value is None:
            values[name.removesuffix(":json").removesuffix(SUFFIX)] = None
        elif name.endswith(":json"):
            values[name.removesuffix(":json")] = orjson.Fragment(value)
        elif name.endswith(SUFFIX):
            values[name.removesuffix(SUFFIX)] = as_object(value)
        else:
            values[name] = _printed(value) if isinstance(value, dict) else value
    return values


def _one_line(text: bytes) -> bytes:
    # JSON text that came in over several lines has line ends between its tokens, and only there.
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
