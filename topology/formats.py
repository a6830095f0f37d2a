"""What `format:` of a source names: a chain of parsers and a normalizer, with one entry point.

Whatever the bytes, `decode` raises nothing and loses nothing: every row is in the events or in the
failures, never in both.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.dimension import SMALL
from topology.guess import AUTO, SYSLOG, TEXT, Guess
from topology.isolate import Failure, isolate, stage
from topology.normalize import NORMALIZERS, qumulo_broker
from topology.normalize.normalizer import RECEIVED, Normalizer
from topology.parse import FORMATS, qumulo_line
from topology.parse.parsed import Format, Option, Splitter
from topology.rows import expand, overlay
from topology.unfold import SUB, Unfolded, unfold

FAILURES: Final = {
    "row": pl.UInt32,
    "stage": pl.String,
    "reason": pl.String,
    "component": pl.String,
    "version": pl.String,
}
NO_FAILURES: Final = pl.DataFrame(schema=FAILURES)
PARSE: Final = "parse"
NORMALIZE: Final = "normalize"
RAW_BASE64: Final = "unmapped.raw_base64"
CHUNK: Final = 64
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A quicker way to what the parsers of a chain give, for lines that look as usual.

    `parse` gives the fields that the normalizer always needs, of all rows, and for which rows they
    are right; for these it agrees with the parsers, which read the other rows. Columns of UInt32
    that the parsers do not give are codes: rows that share one agree in some fields. `rare` names
    fields of the parsers that `parse` leaves out when it finds few lines that have them.
    """

    parse: Callable[[pl.DataFrame], tuple[pl.DataFrame, npt.NDArray[np.bool_]]]
    rare: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Each parser reads the `msg` of the one before it; the normalizer their fields together."""

    parsers: tuple[Format, ...]
    normalizer: Normalizer
    shortcut: Shortcut | None = None
    own_options: Mapping[str, Option] = field(default_factory=dict)
    """What the normalizer can be told."""

    @property
    def splitter(self) -> Splitter | None:
        """What takes records apart that hold several events: that of the payload's parser."""
        return self.parsers[-1].splitter

    @property
    def options(self) -> dict[str, Option]:
        """What the parsers and the normalizer can be told."""
        known = {name: each for parser in self.parsers for name, each in parser.options.items()}
        return known | dict(self.own_options)


def _payload(name: str, header: str = "syslog") -> Chain:
    """A format that syslog may carry."""
    parsers = (FORMATS[header], FORMATS["repeated"], FORMATS[name])
    return Chain(parsers, NORMALIZERS["text"])


QUMULO_OPTIONS: Final = {
    qumulo_broker.OPTION: Option(
        f"which operations are named as Qumulo Broker does: {qumulo_broker.CHANGES} of metadata "
        f"by before and after, or {qumulo_broker.ALL}",
        f"{qumulo_broker.CHANGES}|{qumulo_broker.ALL}",
    )
}
ENDED: Final = [(TEXT.str.ends_with("\n") | TEXT.str.ends_with("\r")).any()]
PADDED: Final = [TEXT.str.ends_with("\0").any()]
CHAINS: Final[Mapping[str, Chain]] = {
    "qumulo": Chain(
        (FORMATS["rfc5424"], FORMATS["repeated"], FORMATS["qumulo"]),
        NORMALIZERS["qumulo"],
        Shortcut(qumulo_line.parse_usual, qumulo_line.RARE),
        own_options=QUMULO_OPTIONS,
    ),
    "qumulo-cloudwatch": Chain(
        (FORMATS["qumulo-cloudwatch"],), NORMALIZERS["qumulo"], own_options=QUMULO_OPTIONS
    ),
    "rfc5424": Chain((FORMATS["rfc5424"], FORMATS["repeated"]), NORMALIZERS["syslog"]),
    "rfc3164": Chain((FORMATS["rfc3164"], FORMATS["repeated"]), NORMALIZERS["syslog"]),
    "json": _payload("json"),
    "csv": _payload("csv", header="syslog-pri"),
    "tsv": _payload("tsv", header="syslog-pri"),
    "cef": _payload("cef"),
    "leef": _payload("leef"),
    "kv": _payload("kv"),
    "xml": _payload("xml"),
    "windows": _payload("windows"),
    "regexp": Chain((FORMATS["regexp"],), NORMALIZERS["text"]),
    "plain": Chain((FORMATS["plain"],), NORMALIZERS["text"]),
}
SOURCE_FORMATS: Final[Mapping[str, Chain | Guess]] = {
    "auto": AUTO,
    "syslog": SYSLOG,
    **CHAINS,
}


class Decoded(NamedTuple):
    """`events`: what topology/normalize/normalizer.py says. `failures`: columns of FAILURES."""

    events: pl.DataFrame
    failures: pl.DataFrame


class Fields(NamedTuple):
    """What the parsers of `format` made of some rows."""

    format: str
    frame: pl.DataFrame


class Read(NamedTuple):
    """All rows of a batch, read by one or more formats, and failures."""

    fields: list[Fields]
    failures: pl.DataFrame


def decode(
    name: str,
    raw: pl.DataFrame,
    options: Mapping[str, str],
    normalizer: Normalizer | None = None,
) -> Decoded:
    """Columns `row` (UInt32), `raw` (Binary) and `received` (Int64, ms since the epoch), without
    nulls, into OCSF events and failures. Only rfc3164 and auto need `received`.

    `time` is null where the text has none. `raw_data` is the text without its line end; bytes that
    are not UTF-8 are replaced there, and whole in `unmapped.raw_base64`. A row that makes a stage
    raise is a failure; the others of its batch are not. A record that holds several events gives
    each by itself, numbered by `sub` (UInt32) in events and failures; others of its batch have 0.
    """
    splitter = splitter_of(name)
    unfolded = None if splitter is None else unfold(raw, splitter)
    if unfolded is None:
        return _decode(name, raw, options, normalizer)
    decoded = _decode(name, unfolded.raw, options, normalizer)
    return Decoded(unfolded.fold(decoded.events), _folded(name, unfolded, decoded.failures))


def _decode(
    name: str, raw: pl.DataFrame, options: Mapping[str, str], normalizer: Normalizer | None
) -> Decoded:
    """As `decode`, where each row is an event of its own."""
    texts, exact = _texts(raw)

    def work(part: pl.DataFrame) -> tuple[list[pl.DataFrame], pl.DataFrame]:
        read = _read(name, part, options, short=normalizer is None)
        found = [fields for fields in read.fields if fields.frame.height]
        return [_normalize(fields, part, options, normalizer) for fields in found], read.failures

    results, broken = isolate(texts, work)
    events = _together([frame for frames, _ in results for frame in frames])
    failures = _failures([failed for _, failed in results], broken)
    return Decoded(_with_raw(events, texts, exact), failures)


def read(name: str, raw: pl.DataFrame, options: Mapping[str, str]) -> Read:
    """The parsers' own fields, before normalization. Raises nothing either."""
    splitter = splitter_of(name)
    unfolded = None if splitter is None else unfold(raw, splitter)
    if unfolded is None:
        return _read_rows(name, raw, options)
    result = _read_rows(name, unfolded.raw, options)
    fields = [each._replace(frame=unfolded.fold(each.frame)) for each in result.fields]
    return Read(fields, _folded(name, unfolded, result.failures))


def _read_rows(name: str, raw: pl.DataFrame, options: Mapping[str, str]) -> Read:
    texts, _ = _texts(raw)
    results, broken = isolate(texts, lambda part: _read(name, part, options))
    fields = [fields for result in results for fields in result.fields]
    return Read(fields, _failures([result.failures for result in results], broken))


def splitter_of(name: str) -> Splitter | None:
    """What takes records of a source format apart that hold several events."""
    return SOURCE_FORMATS[name].splitter


def _folded(name: str, unfolded: Unfolded, failures: pl.DataFrame) -> pl.DataFrame:
    refused = pl.DataFrame(
        [(row, PARSE, reason, name, "1", sub) for row, sub, reason in unfolded.refused],
        schema={**FAILURES, SUB: pl.UInt32},
        orient="row",
    )
    return pl.concat([unfolded.fold(failures), refused]).sort("row", SUB)


def _texts(raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series | None]:
    """`row`, `text` without line end, `received`; and base64 where not UTF-8, if anywhere."""
    received = [raw["received"]] if "received" in raw.columns else []
    try:
        text, exact = raw["raw"].cast(pl.String), None
    except pl.exceptions.ComputeError:
        text, exact = _decode_texts(raw["raw"])
    frame = pl.DataFrame([raw["row"], text.alias("text"), *received])
    if frame.select(ENDED).item():
        frame = frame.with_columns(TEXT.str.strip_chars_end("\r\n"))
    return frame, exact


def _decode_texts(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    """As `_texts`: a column is converted whole or not at all, so a few rows at a time."""
    parts: list[pl.Series] = []
    exact: dict[int, str] = {}
    for at in range(0, len(raw), CHUNK):
        part = raw[at : at + CHUNK]
        try:
            parts.append(part.cast(pl.String))
        except pl.exceptions.ComputeError:
            values = part.to_list()
            texts = [value.decode(errors="replace") for value in values]
            parts.append(pl.Series(raw.name, texts, dtype=pl.String))
            for row, (value, text) in enumerate(zip(values, texts, strict=True), at):
                if REPLACEMENT in text and text.encode() != value:
                    exact[row] = base64.b64encode(value).decode()
    whole = pl.DataFrame({"exact": list(exact.values())}, schema={"exact": pl.String})
    rows = np.array(list(exact), dtype=np.intp)
    return pl.concat(parts, rechunk=True), expand(whole, rows, len(raw)).to_series()


def _read(
    name: str, texts: pl.DataFrame, options: Mapping[str, str], *, short: bool = False
) -> Read:
    """Raises StageError when a parser breaks. `short`: no more fields than normalizing needs.

    Parsers do not see NULs at the end of a line, which some senders put there.
    """
    if texts.select(PADDED).item():
        texts = texts.with_columns(TEXT.str.strip_chars_end("\r\n\0"))
    chosen = SOURCE_FORMATS[name]
    if isinstance(chosen, Chain):
        if short and chosen.shortcut is not None and texts.height >= SMALL:
            return _read_short(name, chosen, chosen.shortcut, texts, options)
        return _read_chain(name, chosen, texts, options)
    fields: list[Fields] = []
    rest = texts
    for candidate in chosen.candidates:
        alike = candidate.choose(rest)
        if not alike.height:
            continue
        result = _read_chain(candidate.format, CHAINS[candidate.format], alike, options)
        for found in result.fields:
            if found.frame.height == rest.height:
                return Read([*fields, found], NO_FAILURES)
            if found.frame.height:
                fields.append(found)
                rest = rest.filter(~pl.col("row").is_in(found.frame["row"].implode()))
    return Read(fields, NO_FAILURES)


def _read_short(
    name: str, chain: Chain, shortcut: Shortcut, texts: pl.DataFrame, options: Mapping[str, str]
) -> Read:
    with stage(PARSE, name):
        fields, usual = shortcut.parse(texts)
    if usual.all():
        return Read([Fields(name, fields)], NO_FAILURES)
    odd = _read_chain(name, chain, texts.filter(pl.Series(~usual)), options)
    found = odd.fields[0].frame
    places = np.flatnonzero(~usual)
    failed = np.isin(fields["row"].to_numpy(), odd.failures["row"].to_numpy())
    places = places[~failed[places]]
    both = [column for column in fields.columns if column in found.columns]
    merged = overlay(fields.select(both), places, found.select(both))
    for column in fields.columns:
        if column not in both:
            codes = fields[column].to_numpy().copy()
            codes[places] = codes.max() + 1 + np.arange(len(places), dtype=np.uint32)
            merged = merged.hstack([pl.Series(column, codes)])
    rare = [
        name
        for name in shortcut.rare
        if name not in fields.columns and found[name].null_count() < found.height
    ]
    if rare:  # a frame of no columns has no rows either
        merged = merged.hstack(expand(found.select(rare), places, merged.height).get_columns())
    if failed.any():
        merged = merged.filter(pl.Series(~failed))
    return Read([Fields(name, merged)], odd.failures)


def _read_chain(name: str, chain: Chain, texts: pl.DataFrame, options: Mapping[str, str]) -> Read:
    failures: list[pl.DataFrame] = []
    frame = texts
    for number, parser in enumerate(chain.parsers):
        with stage(PARSE, parser.name, parser.version):
            source = frame if number == 0 else _message(frame)
            parsed = parser.parse(source, options)
            if parsed.fields.height + parsed.failures.height != frame.height:
                raise AssertionError("the parser lost rows")
        if parsed.failures.height:
            failures.append(
                parsed.failures.select(
                    "row",
                    stage=pl.lit(PARSE),
                    reason="reason",
                    component=pl.lit(parser.name),
                    version=pl.lit(parser.version),
                )
            )
        if number == 0:
            frame = parsed.fields
            continue
        if parsed.failures.height:
            frame = frame.filter(~pl.col("row").is_in(parsed.failures["row"].implode()))
        header = [column for column in frame.get_columns() if column.name != "msg"]
        frame = pl.DataFrame([*header, *parsed.fields.get_columns()[1:]])
    return Read([Fields(name, frame)], pl.concat([NO_FAILURES, *failures]))


def _message(fields: pl.DataFrame) -> pl.DataFrame:
    message = fields["msg"]
    if message.null_count():
        message = message.fill_null("")
    return pl.DataFrame([fields["row"], message.alias("text")])


def _normalize(
    fields: Fields, texts: pl.DataFrame, options: Mapping[str, str], given: Normalizer | None
) -> pl.DataFrame:
    normalizer = given or CHAINS[fields.format].normalizer
    frame = fields.frame
    if given is not None and "received" in texts.columns:
        places = np.searchsorted(texts["row"].to_numpy(), frame["row"].to_numpy())
        received = texts["received"][pl.Series(places.astype(np.uint32))]
        frame = frame.hstack([received.alias(RECEIVED)])
    with stage(NORMALIZE, normalizer.name, normalizer.version):
        return normalizer.normalize(frame, options)


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Events of several parts of a batch in row order. Their codes were numbered apart."""
    frames = [frame for frame in frames if frame.height]
    if not frames:
        return pl.DataFrame(schema={"row": pl.UInt32, "time": pl.Int64})
    if len(frames) == 1:
        return frames[0]
    apart = [frame.drop(ocsf.SHARED, strict=False) for frame in frames]
    order = ["row", "sub"] if any("sub" in frame.columns for frame in apart) else ["row"]
    return pl.concat(apart, how="diagonal").sort(order)


def _failures(found: Iterable[pl.DataFrame], broken: Sequence[Failure]) -> pl.DataFrame:
    rows = [failure[: len(FAILURES)] for failure in broken]
    raised = pl.DataFrame(rows, schema=FAILURES, orient="row") if rows else NO_FAILURES
    failures = pl.concat([*found, raised])
    return failures.sort("row") if failures.height > 1 else failures


def _with_raw(events: pl.DataFrame, texts: pl.DataFrame, exact: pl.Series | None) -> pl.DataFrame:
    """Add the original text; rows of events are found by binary search, as rows ascend."""
    columns = [texts["text"].alias("raw_data")]
    if exact is not None:
        columns.append(exact.alias(RAW_BASE64))
    if events.height != texts.height or "sub" in events.columns:
        places = np.searchsorted(texts["row"].to_numpy(), events["row"].to_numpy())
        columns = [column[pl.Series(places.astype(np.uint32))] for column in columns]
    return events.hstack(columns)
