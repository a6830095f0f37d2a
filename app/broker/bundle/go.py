"""consumer.go and go.mod: a consumer on franz-go that reads northbound.json."""

from pathlib import Path

from app.broker.bundle.access import Access, File

HERE = Path(__file__).parent


def files(access: Access) -> list[File]:  # noqa: ARG001  # all of it is in northbound.json
    return [
        File("consumer.go", (HERE / "consumer.go").read_bytes()),
        File("go.mod", (HERE / "go.mod.txt").read_bytes()),
    ]
