"""Whole lines as a Qumulo cluster sends them, RFC 5424 header and JSON body in one go.

As qumulo_line.py, which has the lines with CSV bodies, and with what JSON bodies alone have.
"""

from typing import Final

import polars as pl

from topology.dimension import combine, factorize
from topology.memo import Memo
from topology.parse import qumulo_header, qumulo_json_columns, rfc5424, timestamp
from topology.parse.parsed import MalformedError, Schema
from topology.parse.qumulo_header import Mask
from topology.rows import unnest

TEXT: Final = pl.col("text")
AT: Final = TEXT.str.find("{", literal=True)
BINARY: Final = TEXT.cast(pl.Binary)
IS_JSON: Final = [TEXT.str.ends_with("}")]
"""Lines with CSV bodies end in a quote."""
CUT: Final = [
    BINARY.bin.head(AT).cast(pl.String).alias("before"),
    BINARY.bin.slice(AT).cast(pl.String).alias("body"),
]
HOST_SCHEMA: Final[Schema] = {"hostname": pl.String, "good": pl.Boolean}
KIND: Final = ("protocol", "operation", "status")


def read_host(text: str) -> tuple[str | None, bool]:
    """`n-1 qumulo - - - `: host name, and whether all of it is as simple as that."""
    try:
        host, *others, sd, end = text.split(" ")
        names = [rfc5424.decode_name(name) for name in (host, *others)]
    except (MalformedError, ValueError):
        return None, False
    return names[0], sd == "-" and not end and len(names) == 4


HOSTS: Final = Memo(read_host, HOST_SCHEMA)


def parse_usual(frame: pl.DataFrame) -> tuple[pl.DataFrame, Mask]:
    """Fields of all rows (`row`, `text`), and which of the rows are right."""
    before, body = frame.select(CUT).get_columns()
    prival, time, origin = unnest(pl.DataFrame([before]), qumulo_header.SPLIT)
    fields, usual = qumulo_json_columns.read_many(body)
    keys = pl.DataFrame([origin.alias("origin"), *fields.select("user_ip", *KIND)])
    hosts, addresses, *kinds = factorize(keys, keys.columns)
    host = qumulo_header.look_up(HOSTS, hosts, keys["origin"])
    micros = timestamp.parse_many(time)
    usual &= host["good"].to_numpy() & (micros != timestamp.NONE)
    usual &= qumulo_header.is_prival(prival)
    return pl.DataFrame(
        [
            frame["row"],
            pl.Series("timestamp", micros).cast(rfc5424.TIME),
            time.alias("@timestamp"),
            host["hostname"].alias("hostname"),
            *fields.get_columns(),
            combine(hosts, addresses).number.alias("@origin"),
            combine(*kinds).number.alias("@kind"),
        ]
    ), usual
