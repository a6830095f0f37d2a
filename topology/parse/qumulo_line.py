"""Whole lines as a Qumulo cluster sends them, RFC 5424 header and CSV body in one go.

The same as the rfc5424 parser followed by the qumulo parser, for the lines that look like nearly
all do and for the fields that normalizing needs, at little more than half the cost: what is between
time stamp and user, and what is between user and object id, repeats from line to line and is read
once per distinct text.

Out: `row`, `timestamp`, `@timestamp`, `hostname` and the eight values of a CSV body, and the codes
`@origin` and `@kind` (UInt32): rows with the same code have the same (hostname, user_ip), and the
same (protocol, operation, status). Lines with JSON bodies go to qumulo_json_line.py.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import SMALL, factorize
from topology.memo import Memo
from topology.parse import (
    csv,
    qumulo,
    qumulo_header,
    qumulo_json,
    qumulo_json_line,
    rfc5424,
    timestamp,
)
from topology.parse.parsed import MalformedError, Schema
from topology.parse.qumulo_header import Mask
from topology.rows import overlay, unnest

QUOTES: Final = pl.col("text").str.splitn('"', len(qumulo.QUOTES))
LAST: Final = pl.col("middle").str.extract(r"[^,]*,$", 0)
KIND: Final = [pl.col("middle").str.strip_suffix(pl.col("last")).alias("kind")]
REST: Final = [
    ((pl.col("comma") == ",") & (pl.col("after") == "") & pl.col("more").is_null())
    .fill_null(value=False)
    .alias("usual"),
    pl.when(pl.col("last") != ",").then(pl.col("last").str.head(-1)).alias("object_id"),
    *[
        pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
        for name in ("user", "path", "target_path")
    ],
]
ORIGIN_SCHEMA: Final[Schema] = {"hostname": pl.String, "user_ip": pl.String, "good": pl.Boolean}
ADDRESS: Final = pl.col("text").str.extract("[^ ]*$", 0).alias("address")
HEAD: Final = pl.col("text").str.strip_suffix(pl.col("address")).str.strip_suffix(" ").alias("head")
HEADS: Final[Schema] = {"hostname": pl.String, "are_names": pl.Boolean, "simple": pl.Boolean}
USER_IP: Final = pl.col("address").str.head(-1)
PLAIN: Final = pl.col("address").str.contains(r"^[\x00-\x2b\x2d-\x7f]*,$")
FOUND: Final = [
    pl.col("hostname"),
    pl.when(pl.col("are_names") & (USER_IP != "")).then(USER_IP).alias("user_ip"),
    (pl.col("simple") & PLAIN).alias("good"),
]
KIND_SCHEMA: Final[Schema] = {
    "protocol": pl.String,
    "operation": pl.String,
    "status": pl.String,
    "good": pl.Boolean,
    "word": pl.Boolean,
}
PATHS: Final = ("path", "target_path")
COLUMNS: Final = ("row", "timestamp", "@timestamp", "hostname", *qumulo.CSV_FIELDS)
"""What comes out, beside the codes."""
CODES: Final = ("@origin", "@kind")
RARE: Final = (*qumulo_json.SCHEMA, "repeated")
"""What only JSON bodies have, and what relays make of the same message again."""


def _read_head(head: str) -> tuple[str | None, bool, bool]:
    """`n-1 qumulo - - -`: host name, whether these are names, and as simple as that."""
    try:
        host, *others, sd = head.split(" ")
        names = [rfc5424.decode_name(name) for name in (host, *others)]
    except (MalformedError, ValueError):
        return None, False, False
    return names[0], True, sd == "-" and len(names) == 4


def read_origin(text: str) -> tuple[str | None, str | None, bool]:
    """`n-1 qumulo - - - 10.0.0.1,`: host name and address, and whether it is as simple as that."""
    head, _, address = text.rpartition(" ")
    host, are_names, simple = _read_head(head)
    if not are_names:
        return None, None, False
    plain = address.endswith(",") and "," not in address[:-1] and address.isascii()
    return host, address[:-1] or None, plain and simple


def read_origins(texts: Sequence[pl.Series]) -> pl.DataFrame:
    """As `read_origin`, for many: there are few hosts, whatever the number of addresses."""
    frame = texts[0].to_frame("text").with_columns(ADDRESS).with_columns(HEAD)
    (heads,) = factorize(frame, ["head"])
    known = [_read_head(head) for head in heads.distinct(frame["head"]).to_list()]
    return frame.hstack(pl.DataFrame(known, schema=HEADS, orient="row")[heads.number]).select(FOUND)


def read_kind(text: str) -> tuple[str | None, str | None, str | None, bool, bool]:
    """`,smb2,fs_open,ok,`: protocol, operation and status, and whether there are just these.

    Last: whether the operation is a word, as the qumulo parser asks of a line with odd quoting.
    """
    values = text.split(",")
    if len(values) != 5 or values[0] or values[4]:
        return None, None, None, False, False
    word = qumulo.OPERATION.fullmatch(values[2]) is not None
    return values[1] or None, values[2] or None, values[3] or None, True, word


ORIGINS: Final = Memo(read_origin, ORIGIN_SCHEMA, read_origins)
KINDS: Final = Memo(read_kind, KIND_SCHEMA)


def parse_usual(frame: pl.DataFrame) -> tuple[pl.DataFrame, Mask]:
    """Fields of all rows (`row`, `text`), and which of the rows are right.

    Those of RARE are among them when there are many JSON bodies.
    """
    is_json = frame.select(qumulo_json_line.IS_JSON).to_series().to_numpy()
    json_rows = np.flatnonzero(is_json)
    if len(json_rows) < SMALL:
        return _parse_csv(frame)
    if len(json_rows) == frame.height:
        return qumulo_json_line.parse_usual(frame)
    csv_rows = np.flatnonzero(~is_json)
    fields, usual = _parse_csv(frame[csv_rows])
    others, usual_others = qumulo_json_line.parse_usual(frame[json_rows])
    # The same code stands for different things in the two.
    apart = [int(fields[code].to_numpy().max()) + 1 for code in CODES]
    others = others.with_columns(
        pl.col(code) + pl.lit(first, dtype=pl.UInt32)
        for code, first in zip(CODES, apart, strict=True)
    )
    order = np.argsort(np.concatenate([csv_rows, json_rows]))
    both = pl.concat([fields, others], how="diagonal", rechunk=True)
    return both[order], np.concatenate([usual, usual_others])[order]


def _parse_csv(frame: pl.DataFrame) -> tuple[pl.DataFrame, Mask]:
    parts = dict(zip(qumulo.QUOTES, unnest(frame, QUOTES), strict=True))
    header = dict(
        zip(
            qumulo_header.PARTS,
            unnest(pl.DataFrame({"before": parts["before"]}), qumulo_header.SPLIT),
            strict=True,
        )
    )
    middle = pl.DataFrame({"middle": parts["middle"]})
    middle = middle.hstack([middle.select(LAST).to_series().alias("last")])
    keys = pl.DataFrame([header["origin"].alias("origin"), middle.select(KIND).to_series()])
    origins, kinds = factorize(keys, ("origin", "kind"))
    rest = pl.DataFrame(
        [part.alias(name) for name, part in parts.items()] + middle.get_columns()[1:]
    ).select(REST)
    micros = timestamp.parse_many(header["time"])
    origin = qumulo_header.look_up(ORIGINS, origins, keys["origin"])
    kind = qumulo_header.look_up(KINDS, kinds, keys["kind"])
    good = origin["good"].to_numpy() & kind["good"].to_numpy() & (micros != timestamp.NONE)
    good &= qumulo_header.is_prival(header["prival"])
    usual = rest["usual"].to_numpy() & good
    odd = np.flatnonzero(good & ~usual & kind["word"].to_numpy())
    paths = rest.select(PATHS)
    if len(odd):
        found, values = _odd_paths(odd, frame["text"][odd].to_list())
        usual[found] = True
        paths = overlay(paths, found, values)
    columns = {
        "row": frame["row"],
        "timestamp": pl.Series(micros).cast(rfc5424.TIME),
        "@timestamp": header["time"],
        **origin,
        **kind,
        **rest.to_dict(),
        **paths.to_dict(),
        "@origin": origins.number,
        "@kind": kinds.number,
    }
    names = (*COLUMNS, *CODES)
    return pl.DataFrame([columns[name].alias(name) for name in names]), usual


def _odd_paths(
    rows: npt.NDArray[np.intp], texts: list[str]
) -> tuple[npt.NDArray[np.intp], pl.DataFrame]:
    """Which of the rows end in two well-formed values with quotes inside, and these values.

    Everything up to the object id is as usual: it has exactly the two quotes around the user.
    """
    found: list[int] = []
    values: list[tuple[str | None, ...]] = []
    for row, text in zip(rows.tolist(), texts, strict=True):
        try:
            paths = csv.split('"' + text.split('"', 3)[3], strict=True)
        except (MalformedError, IndexError):
            continue
        if len(paths) == len(PATHS):
            found.append(row)
            values.append(tuple(path or None for path in paths))
    schema = dict.fromkeys(PATHS, pl.String)
    return np.array(found, dtype=np.intp), pl.DataFrame(values, schema=schema, orient="row")
