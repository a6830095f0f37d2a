"""Single-object encoding of the Avro schemas in schemas/avro (Avro 1.12, "Single-object encoding").

A value is 0xC3 0x01, the writer schema's CRC-64-AVRO fingerprint (8 bytes, little endian), then
the Avro binary body. Every version that was ever written stays readable; the newest is written.
"""

import io
import json
import re
from functools import cache
from importlib import resources
from typing import Any, NamedTuple, cast

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

MAGIC = b"\xc3\x01"
HEADER = 10
REGISTERED = b"\0"
REGISTERED_HEADER = 5
MOST_ID = 2**31 - 1
FILE_NAME = re.compile(r"(?P<name>[a-z_]+)\.v(?P<version>[0-9]+)\.avsc")


class UnknownSchemaError(ValueError):
    """Not a record of ours: no single-object header, or a fingerprint never written."""


class Schema(NamedTuple):
    """One parsed schema. `name` is the record's name, `header` the ten bytes before its body."""

    name: str
    version: int
    header: bytes
    parsed: Any


@cache
def _schemas() -> tuple[dict[str, Schema], dict[bytes, Schema]]:
    newest: dict[str, Schema] = {}
    by_header: dict[bytes, Schema] = {}
    for entry in (resources.files("schemas") / "avro").iterdir():
        found = FILE_NAME.fullmatch(entry.name)
        if found is None:
            continue
        text = json.loads(entry.read_text(encoding="utf-8"))
        mark = fingerprint(to_parsing_canonical_form(text), "CRC-64-AVRO")
        schema = Schema(
            text["name"],
            int(found["version"]),
            MAGIC + bytes.fromhex(mark),
            parse_schema(text, named_schemas={}),
        )
        by_header[schema.header] = schema
        if schema.name not in newest or newest[schema.name].version < schema.version:
            newest[schema.name] = schema
    return newest, by_header


def files(name: str) -> dict[str, bytes]:
    """Every version of a schema: name and content of its file."""
    entries = (resources.files("schemas") / "avro").iterdir()
    content = {entry.name: entry.read_bytes() for entry in entries if entry.is_file()}
    return {
        file: text
        for file, text in content.items()
        if FILE_NAME.fullmatch(file) and json.loads(text)["name"] == name
    }


def header(name: str) -> bytes:
    """The ten bytes that begin every value of the newest version of a schema."""
    return _schemas()[0][name].header


def registered(schema_id: int) -> bytes:
    """The five bytes that begin a value whose schema is in a registry (Confluent's wire format): 0
    and the registry's id, most significant byte first."""
    if not 0 <= schema_id <= MOST_ID:
        raise ValueError(f"saw schema id {schema_id}, expected 0 to {MOST_ID}")
    return REGISTERED + schema_id.to_bytes(4, "big")


def text(name: str) -> str:
    """The newest version of a schema as it is registered: its file, on one line."""
    newest = max(files(name).items(), key=lambda file: _version(file[0]))
    return json.dumps(json.loads(newest[1]), separators=(",", ":"))


def _version(file: str) -> int:
    found = FILE_NAME.fullmatch(file)
    return int(found["version"]) if found else 0


def encode(name: str, record: dict[str, Any]) -> bytes:
    """Encode a record with the newest version of its schema."""
    schema = _schemas()[0][name]
    out = io.BytesIO()
    out.write(schema.header)
    fastavro.schemaless_writer(out, schema.parsed, record)
    return out.getvalue()


def decode(value: bytes) -> tuple[str, dict[str, Any]]:
    """The record's name and content, read as the newest version of its schema.

    Raises UnknownSchemaError for anything that is not one of ours.
    """
    newest, by_header = _schemas()
    schema = by_header.get(value[:HEADER])
    if schema is None:
        raise UnknownSchemaError(
            f"expected a value that begins with {MAGIC.hex()} and a known schema fingerprint, "
            f"saw {value[:HEADER].hex()}"
        )
    body = io.BytesIO(value)
    body.seek(HEADER)
    reader = newest[schema.name].parsed
    read = cast("Any", fastavro.schemaless_reader)
    return schema.name, read(body, schema.parsed, None if reader is schema.parsed else reader)
