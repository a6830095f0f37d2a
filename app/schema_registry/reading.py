"""Records in Confluent's wire format, read with the schemas of a registry."""

import io
import json
from typing import Any, cast

import fastavro

from app.schema_registry.client import Registry
from schemas.codec import REGISTERED, REGISTERED_HEADER


class RegisteredReader:
    """Schemas are asked for once each. Raises RegistryError if one cannot be had."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._schemas: dict[int, Any] = {}

    def decode(self, value: bytes) -> dict[str, Any] | None:
        """The record; None if the value does not begin as one."""
        if len(value) < REGISTERED_HEADER or not value.startswith(REGISTERED):
            return None
        number = int.from_bytes(value[1:REGISTERED_HEADER], "big")
        if number not in self._schemas:
            text = self._registry.schema(number)
            self._schemas[number] = fastavro.parse_schema(json.loads(text))
        read = cast("Any", fastavro.schemaless_reader)
        found = read(io.BytesIO(value[REGISTERED_HEADER:]), self._schemas[number], None)
        return cast("dict[str, Any]", found)
