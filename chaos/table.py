"""The table of a run, for people and for docs/guarantees.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chaos.books import Row

COLUMNS = (
    "case", "sent", "events", "filtered", "dead_letters", "lost", "doubled", "invented", "altered",
    "alerts_equal", "recovery_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """A row, how long it took, what was measured beside it and what was false."""

    row: Row
    seconds: float
    measured: dict[str, Any]
    false: list[str]
    kept: str

    @property
    def good(self) -> bool:
        """Whether the row balances and everything else that was claimed holds."""
        return self.row.balances and not self.false


def render(results: Sequence[Result]) -> str:
    """A Markdown table, and below it what failed."""
    lines = [f"| {' | '.join(COLUMNS)} | measured |", "|---" * (len(COLUMNS) + 1) + "|"]
    for result in results:
        cells = [_cell(getattr(result.row, column)) for column in COLUMNS]
        measured = ", ".join(f"{name} {value}" for name, value in result.measured.items())
        lines.append(f"| {' | '.join(cells)} | {measured} |")
    for result in results:
        lines += [f"FAILED {result.row.case}: {each}" for each in result.false]
        if not result.row.balances:
            lines.append(f"FAILED {result.row.case}: the row does not balance")
        if result.kept:
            lines.append(f"{result.row.case}: {result.kept}")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, int | float):
        return f"{value:,}"
    return "-" if value is None else str(value)
