"""What northbound.yaml says of active lists."""

from typing import Annotated

from pydantic import AfterValidator, Field

from app.config.connection import Strict
from app.config.fields import Duration, source_name


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("expected each part of the key once")
    return names


ListName = Annotated[str, AfterValidator(source_name)]


class ListSettings(Strict):
    """An active list, which rules fill and ask (docs/lists.md)."""

    key: Annotated[list[str], Field(min_length=1, max_length=8), AfterValidator(_once)]
    """What the parts of its key are called. Rules take the fields of these names, unless they name
    others."""
    ttl: Duration | None = None
    """How long an entry stays where the rule that adds it does not say. Unless given, until it is
    removed."""
    shared: bool = False
    """Whether all tenants have one list together, and not each one of its own."""
