"""consumer.mjs and package.json: a consumer on kafkajs that reads northbound.json."""

from pathlib import Path

from app.broker.bundle.access import Access, File

HERE = Path(__file__).parent


def files(access: Access) -> list[File]:  # noqa: ARG001  # all of it is in northbound.json
    return [
        File("consumer.mjs", (HERE / "consumer.mjs").read_bytes()),
        File("package.json", (HERE / "package.json").read_bytes()),
    ]
