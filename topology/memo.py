"""A function of a few values as a table that grows: what was computed once is only indexed again.

Remembering changes the cost and never the result. Safe to use from several threads, as a state is
never changed, only replaced.

What has more values than can be remembered would be computed again and again, at several times
the cost of all else that is done to an event. It is computed in columns from then on, where a memo
can do that, and nothing of it is remembered.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

CAPACITY = 16_384
FEW = 256
"""Fewer keys than so many are quicker one by one."""

Columns: TypeAlias = Sequence[pl.Series]


class _State(NamedTuple):
    places: dict[tuple[Any, ...], int]
    table: pl.DataFrame
    filled: pl.DataFrame
    """The columns of the table that have any value."""


class Memo:
    """`function` gives one row of `schema` for the values of a key; `many`, if there is one, the
    same rows for many keys, given in columns."""

    def __init__(
        self,
        function: Callable[..., tuple[Any, ...]],
        schema: Mapping[str, pl.DataType | type[pl.DataType]],
        many: Callable[[Columns], pl.DataFrame] | None = None,
    ) -> None:
        self._function = function
        self._schema = schema
        self._many = many
        self._overflown = False
        self._state = _State({}, pl.DataFrame(schema=schema), pl.DataFrame(schema=schema))

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        return list(self._schema)

    def look_up_columns(self, keys: Columns) -> tuple[pl.DataFrame, npt.NDArray[np.uint32]]:
        """As `look_up`, of keys in columns."""
        count = len(keys[0])
        if not (self._overflown or count > CAPACITY) or self._many is None or count < FEW:
            return self.look_up(list(zip(*(key.to_list() for key in keys), strict=True)))
        table = self._many(keys)
        filled = [column for column in table if column.null_count() < count]
        return pl.DataFrame(filled), np.arange(count, dtype=np.uint32)

    def look_up(
        self, keys: Sequence[tuple[Any, ...]]
    ) -> tuple[pl.DataFrame, npt.NDArray[np.uint32]]:
        """A table, and for each key the row of it that holds the function's values.

        Columns without any value are left out.
        """
        state = self._state
        missing = [key for key in dict.fromkeys(keys) if key not in state.places]
        if missing:
            state = self._grown(state, missing, keys)
            self._state = state
        places = np.fromiter((state.places[key] for key in keys), dtype=np.uint32, count=len(keys))
        return state.filled, places

    def _grown(
        self, state: _State, missing: list[tuple[Any, ...]], keys: Sequence[tuple[Any, ...]]
    ) -> _State:
        if len(state.places) + len(missing) > CAPACITY:
            self._overflown = True
            state, missing = (
                _State({}, state.table.clear(), state.table.clear()),
                list(dict.fromkeys(keys)),
            )
        start = len(state.places)
        places = state.places | dict(zip(missing, range(start, start + len(missing)), strict=True))
        rows = [self._function(*key) for key in missing]
        added = pl.DataFrame(rows, schema=self._schema, orient="row")
        table = pl.concat([state.table, added], rechunk=True)
        filled = [column for column in table if column.null_count() < table.height]
        return _State(places, table, pl.DataFrame(filled))
