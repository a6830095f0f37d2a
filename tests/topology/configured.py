"""A small deployment as a user writes it: northbound.yaml with one source and one tenant."""

from pathlib import Path
from typing import Any

import yaml

from app.config import Config, load


def configured(folder: Path, *, rules: str = "", lateness: str = "30s", **keys: Any) -> Config:
    """Write `folder`/northbound.yaml, with the Sigma rules if there are any, and read it. `keys`:
    more of the file's own."""
    if rules:
        (folder / "rules.yml").write_text(rules)
        keys["rules"] = ["rules.yml"]
    content = {
        "version": 1,
        "kafka": {"embedded": {}},
        "sources": {"qumulo": {"format": "qumulo", "lateness": lateness}},
        "tenants": {"acme": {"sources": ["qumulo"]}},
        **keys,
    }
    path = folder / "northbound.yaml"
    path.write_text(yaml.safe_dump(content))
    return load(path)
