"""Keys of groups, the same in `matches` and in stores, so that a group's state is always local."""

from functools import lru_cache

from schemas import packed


def group_key(tenant: str, rule: str, group: tuple[str, ...]) -> bytes:
    """Key of a group in `matches` and in stores; the tenant comes first, NUL separates."""
    text = "\0".join((tenant, rule, *group))
    if "\\" in text or text.count("\0") > len(group) + 1:
        escaped = [part.replace("\\", "\\\\").replace("\0", "\\0") for part in group]
        text = "\0".join((tenant, rule, *escaped))
    return text.encode()


@lru_cache(maxsize=65_536)
def opened(schema: str, tenant: str, name: str, group: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Key and beginning of a Partial or Tally; groups come back from batch to batch."""
    return group_key(tenant, name, group), packed.head(schema, tenant, name, group)
