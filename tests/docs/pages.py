"""The pages that people read, taken apart."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """Fenced text of a page, such as `yaml` or `sh`."""

    page: Path
    language: str
    text: str


def name(page: Path) -> str:
    """As people call it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All of a page."""
    text = page.read_text(encoding="utf-8")
    return [Block(page, *found) for found in FENCE.findall(text)]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def code(page: Path) -> Iterator[str]:
    """What stands between backticks, and each line of the blocks that are typed."""
    yield from (each.replace("\\|", "|") for each in SPAN.findall(prose(page)))
    for block in blocks(page):
        if block.language in ("", "sh"):
            yield from block.text.replace("\\\n", " ").splitlines()


def links(page: Path) -> list[str]:
    """Where a page leads."""
    return LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What headings are called in links."""
    found = HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}
