"""northbound.json and consumer.py: a consumer that runs with this folder and confluent-kafka."""

import json
from pathlib import Path

from app.broker.bundle.access import Access, File
from app.broker.bundle.librdkafka import settings

CONSUMER = Path(__file__).with_name("consumer.py")


def files(access: Access) -> list[File]:
    content = {"kafka": settings(access), "topics": access.topics}
    text = json.dumps(content, indent=2) + "\n"
    return [
        File("northbound.json", text.encode(), secret=True),
        File("consumer.py", CONSUMER.read_bytes()),
    ]
