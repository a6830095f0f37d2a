"""What a line of each format looks like, for sources whose lines are of several: `auto`, `syslog`.

By the line alone, never by its neighbours: a replay cuts batches in another way. What merely looks
like a format and cannot be read by it goes to the next one, so the looks may be loose where the
parser is strict; formats that take nearly any text (key-value, CSV, TSV) are asked for more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import polars as pl

from topology.parse import FORMATS, bsd_timestamp, several
from topology.parse.parsed import Option, Splitter

TEXT: Final = pl.col("text")


class Look(NamedTuple):
    """A format and what its lines look like: all of `quick`, and `exact`, which only lines that
    pass the other are asked for."""

    format: str
    quick: pl.Expr
    exact: pl.Expr | None = None

    def choose(self, texts: pl.DataFrame) -> pl.DataFrame:
        """The rows that look so."""
        chosen = texts.filter(self.quick)
        return chosen if self.exact is None or not chosen.height else chosen.filter(self.exact)


@dataclass(frozen=True, slots=True)
class Guess:
    """Formats in order; the last takes all lines."""

    candidates: Sequence[Look]
    options: Mapping[str, Option]
    splitter: Splitter | None = None


def _has(text: str) -> pl.Expr:
    return TEXT.str.contains(text, literal=True)


def _count(sign: str) -> pl.Expr:
    return TEXT.str.count_matches(sign, literal=True)


PRI: Final = "<[0-9]{1,3}>"
OBJECT: Final = TEXT.str.contains(r"^\s*\{")
PAIR: Final = r'[A-Za-z_][A-Za-z0-9_.-]*=(?:"(?:[^"\\]|\\.)*"|[^ "]*)'
HOST: Final = "[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [^ =]+ "
"""A BSD time and HOSTNAME."""
PAIRS: Final = f"^(?:{PRI})?(?:{HOST})?{PAIR} +{PAIR} +{PAIR}(?: |$)"
"""Three pairs, one after the other and before any other word."""
SCHEMA: Final = "schemas.microsoft.com/win/"
WINDOWS_NAMES: Final = ('"Channel"', '"Provider"', '"ProviderGuid"', '"ProviderName"')
PANOS: Final = rf"^{PRI}[^,=]* 1,[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}} [0-9:]{{8}},"
QUOTED: Final = '"(?:[^"]|"")*"'
VALUES: Final = f'^(?:{QUOTED}|[^",][^,]*)(?:,(?:{QUOTED}|[^", ][^,]*)?){{4,}}$'
"""Five values and no blank after a comma, as text has."""

RFC5424: Final = Look("rfc5424", TEXT.str.contains(f"^{PRI}[0-9]{{1,3}} "))
RFC3164: Final = Look("rfc3164", TEXT.str.contains(f"^{PRI}|^ *(?:{bsd_timestamp.START})"))
PLAIN: Final = Look("plain", TEXT.is_not_null())

AUTO: Final = Guess(
    (
        Look("qumulo", TEXT.str.contains(f"^{PRI}[0-9]{{1,3}} [^ ]+ [^ ]+ qumulo ")),
        Look("qumulo-cloudwatch", _has("ip_address"), OBJECT & _has("path_1")),
        Look("cef", _has("CEF:"), ~OBJECT),
        Look("leef", _has("LEEF:"), ~OBJECT),
        Look("windows", _has(SCHEMA), _has("<Event")),
        Look(
            "windows",
            _has('"winlog"') | _has('"EventID"'),
            TEXT.str.contains(f"^\\s*\\{{|^{PRI}.*\\{{")
            & (
                (_has('"winlog"') & _has('"event_id"'))
                | (_has('"EventID"') & pl.any_horizontal([_has(name) for name in WINDOWS_NAMES]))
            ),
        ),
        Look("xml", TEXT.str.contains(r"^\s*<[?A-Za-z_]")),
        Look("xml", _has("<?xml "), TEXT.str.contains(rf"^{PRI}.*[ :]<\?xml ")),
        Look("json", TEXT.str.contains(r"^\s*[\[{]")),
        Look("kv", _count("=") >= 3, TEXT.str.contains(PAIRS)),
        Look("csv", _has(" 1,2"), TEXT.str.contains(PANOS)),
        RFC5424,
        RFC3164,
        Look("tsv", _count("\t") >= 3, ~TEXT.str.starts_with("\t")),
        Look("csv", _count(",") >= 4, TEXT.str.contains(VALUES)),
        PLAIN,
    ),
    FORMATS["rfc3164"].options,
    several.EITHER,
)
SYSLOG: Final = Guess((RFC5424, RFC3164, PLAIN), FORMATS["rfc3164"].options)
