"""Levels of rules (Sigma specification 2.1), apart from the columns that rules are matched on."""

from typing import Final, Literal, TypeAlias, get_args

Level: TypeAlias = Literal["informational", "low", "medium", "high", "critical"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""The least first."""
