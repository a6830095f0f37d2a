"""docker-compose.yml as data, and what its services have in common."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
DEFAULT = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")


def project() -> dict[str, Any]:
    """The file with every `${NAME:-default}` at its default and `$$` as Docker passes it on."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return DEFAULT.sub(lambda found: found["default"], value).replace("$$", "$")
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return value

    content: dict[str, Any] = plain(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    return content


def environment() -> dict[str, str]:
    """What sends Northbound's processes to the brokers: the same for all of them."""
    found: dict[str, str] = project()["services"]["prepare"]["environment"]
    return found
