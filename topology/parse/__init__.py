"""Parsers: from text to a format's own fields, in columns. One file a format."""

from collections.abc import Mapping
from typing import Final

from topology.parse import (
    cef,
    csv,
    json,
    keyvalue,
    leef,
    plain,
    qumulo,
    qumulo_cloudwatch,
    regexp,
    repeated,
    rfc3164,
    rfc5424,
    syslog,
    windows,
    xml,
)
from topology.parse.parsed import Format

FORMATS: Final[Mapping[str, Format]] = {
    parser.name: parser
    for parser in (
        rfc5424.PARSER,
        rfc3164.PARSER,
        syslog.PARSER,
        syslog.PRI_ONLY,
        repeated.PARSER,
        qumulo.PARSER,
        qumulo_cloudwatch.PARSER,
        json.PARSER,
        csv.PARSER,
        csv.TSV,
        cef.PARSER,
        leef.PARSER,
        keyvalue.PARSER,
        xml.PARSER,
        windows.PARSER,
        regexp.PARSER,
        plain.PARSER,
    )
}
