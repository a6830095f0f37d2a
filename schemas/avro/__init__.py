"""Avro schemas, one file per record and version, and their single-object encoding."""
