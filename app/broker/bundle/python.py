"""northbound.json, consumer.py and doctor.py: they run with this folder and confluent-kafka."""

import json
from pathlib import Path
from typing import Any

from app.broker.bundle import schema_registry
from app.broker.bundle.access import Access, File
from app.broker.bundle.librdkafka import settings

HERE = Path(__file__).parent


def files(access: Access) -> list[File]:
    content: dict[str, Any] = {"kafka": settings(access), "topics": access.topics}
    if access.registry is not None:
        content["schema_registry"] = schema_registry.python(access.registry)
    if access.regions:
        content["regions"] = access.regions
    text = json.dumps(content, indent=2) + "\n"
    return [
        File("northbound.json", text.encode(), secret=True),
        *(File(name, (HERE / name).read_bytes()) for name in ("consumer.py", "doctor.py")),
    ]
