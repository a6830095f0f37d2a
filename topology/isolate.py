"""Finds the rows that break a stage, so that one bad row costs one dead letter and no worker."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import polars as pl

from topology.costs import costs
from topology.records import StoreError

Result = TypeVar("Result")


class Failure(NamedTuple):
    """Why a row did not become an event. `row` is its place in the batch; `sub` says which event it
    was of a record that holds several."""

    row: int
    stage: str
    reason: str
    component: str
    version: str
    sub: int | None = None


class StageError(Exception):
    """What broke, and in which component of which stage."""

    def __init__(self, stage: str, component: str, version: str, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.stage = stage
        self.component = component
        self.version = version


def isolate(
    frame: pl.DataFrame, work: Callable[[pl.DataFrame], Result]
) -> tuple[list[Result], list[Failure]]:
    """Apply `work` to the frame, or to ever smaller parts of it where it raises.

    `frame` has a column `row`. Returns the results in row order, and one Failure for each single
    row that still raised. With b bad rows in n this costs about 2·b·log2(n) calls. A StoreError is
    raised: it is no row's fault.
    """
    try:
        return [work(frame)], []
    except StoreError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        if frame.height <= 1:
            sub = int(frame["sub"][0]) if frame.height and "sub" in frame.columns else None
            return [], [_failure(int(row), error, sub) for row in frame["row"]]
    half = frame.height // 2
    first, broken = isolate(frame[:half], work)
    second, more = isolate(frame[half:], work)
    return first + second, broken + more


def _failure(row: int, error: Exception, sub: int | None) -> Failure:
    if isinstance(error, StageError):
        return Failure(row, error.stage, str(error), error.component, error.version, sub)
    return Failure(row, "unknown", f"{type(error).__name__}: {error}", "", "", sub)


def in_order(failures: Iterable[Failure]) -> list[Failure]:
    """By row, and by the number of the event in its record."""
    return sorted(failures, key=lambda each: (each.row, each.sub or 0, each[1:5]))


@contextmanager
def stage(name: str, component: str, version: str = "1") -> Iterator[None]:
    """Name what runs inside, for the dead letter of a row that breaks it and for its cost."""
    try:
        with costs().stage(name, component):
            yield
    except (StageError, StoreError):
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise StageError(name, component, version, error) from error
