"""Mutations of a source, applied to a whole batch of its events, one after the other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas import ocsf
from topology.operations import Change
from topology.texts import as_text


@dataclass(frozen=True, slots=True)
class Mutation:
    """`change` makes `target` of `field`. `name`: of the operation, for the counters."""

    name: str
    field: str
    target: str
    change: Change


def mutate(
    events: pl.DataFrame, mutations: Sequence[Mutation]
) -> tuple[pl.DataFrame, Counter[str]]:
    """The events with their mutated columns, and how many values each operation did not fit.

    Counters are `<operation>.<field>`. A value that an operation does not fit leaves the target
    as it is; where the target gets another type, it is absent then. `raw_data` has it in any case.
    """
    unfit: Counter[str] = Counter()
    for mutation in mutations:
        if mutation.field in events.columns:
            events, count = _apply(events, mutation)
            if count:
                unfit[f"{mutation.name}.{mutation.field}"] += count
    return events, unfit


def _apply(events: pl.DataFrame, mutation: Mutation) -> tuple[pl.DataFrame, int]:
    field, target = mutation.field, mutation.target
    values = events[field]
    if isinstance(values.dtype, pl.List | pl.Array):
        return events, len(values) - values.null_count()
    texts = as_text(values)
    made = texts.to_frame("text").select(mutation.change(pl.col("text"))).to_series()
    count = made.null_count() - values.null_count()
    if made.null_count() and target in events.columns and events[target].dtype == made.dtype:
        made = made.zip_with(made.is_not_null(), events[target])
    stale = ocsf.stale_codes(events.columns, target, [field])
    return events.drop(stale).with_columns(made.alias(target)), count
