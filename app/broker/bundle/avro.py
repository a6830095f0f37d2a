"""event.v<n>.avsc: the schemas that records of a tenant with format avro may be written with."""

from app.broker.bundle.access import Access, File
from schemas.codec import files as schema_files


def files(access: Access) -> list[File]:
    if access.format != "avro":
        return []
    return [File(name, content) for name, content in sorted(schema_files("Event").items())]
