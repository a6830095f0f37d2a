"""Events meet rules: what they match becomes records of `matches`, for each tenant in its view.

Rules see events as they are. A tenant with a mask has groups and evidence of its own, masked, so
that neither its alerts nor the state behind them hold what it may not read.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.aggregate.tumbling import tallies
from topology.asset_priority import with_priority
from topology.correlate.partials import EVIDENCE, partials
from topology.isolate import stage
from topology.list_records import Listing
from topology.masked import Masked
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.records import Output
from topology.rules import Hits, Records
from topology.unmapped import members, with_members


class Matching:
    """The rules and aggregates of a plan, over events of any source."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        rules = plan.rules.rules
        self._listing = Listing(rules) if rules.steps else None
        fields = [field for each in rules.correlations for field in each.group_columns]
        named = [each.shown for each in rules.events]
        named += [each.shown for each in rules.correlations]
        self._shown = dict.fromkeys(
            [
                *(column for columns in EVIDENCE.values() for column in columns),
                *(column for shown in named for _, columns in shown for column in columns),
                *(column for field in fields for columns in field for column in columns),
                *(self._listing.columns if self._listing is not None else ()),
            ]
        )
        self._by = dict.fromkeys(column for each in plan.aggregates for column in each.by)
        values = [field for each in rules.correlations for field in each.value_columns]
        self._members = members(
            [
                *self._shown,
                *self._by,
                *(column for each in plan.aggregates for column in each.select),
                *(column for field in values for columns in field for column in columns),
            ]
        )

    def match(
        self,
        source: SourcePlan,
        events: pl.DataFrame,
        watermarks: npt.NDArray[np.int64],
        tenants: Sequence[TenantPlan],
    ) -> list[Records]:
        """Records for tenants that see the same. `watermarks`: of each row. Raises StageError.

        What is counted is counted once, however many tenants there are.
        """
        plan = self._plan
        found: list[Records] = []
        alike = [tenant.name for tenant in tenants if tenant.mask is None]
        masked = [tenant for tenant in tenants if tenant.mask is not None]
        with stage("match", "rules"):
            if self._members:
                events = with_members(events, self._members)
            hits = plan.rules.match(events, source.logsource)
            if hits:
                events = with_priority(events, np.unique(np.concatenate(list(hits.values()))))
            for names, own in _views(alike, masked):
                rows = np.arange(events.height)
                part, chosen, shown = events, hits, None
                if own is not None and hits:
                    rows = np.unique(np.concatenate(list(hits.values())))
                    part = events[rows]
                    chosen = {at: np.searchsorted(rows, each) for at, each in hits.items()}
                    shown = self._seen(own, part, list(self._shown))
                made = self._records(source.name, part, chosen, shown, names, watermarks[rows])
                found += [each._replace(counts={}) for each in made] if found else made
        counted: list[Records] = []
        with stage("match", "aggregates"):
            for names, own in _views(alike, masked):
                shown = None
                if own is not None and plan.aggregates:
                    shown = self._seen(own, events, list(self._by))
                records = tallies(
                    events,
                    plan.aggregates,
                    tenants=names,
                    source=source.name,
                    watermarks=watermarks,
                    lateness_ms=source.lateness_ms,
                    shown=shown,
                )
                counted.append(records._replace(counts={} if counted else records.counts))
        return [*found, *counted]

    def _records(
        self,
        source: str,
        events: pl.DataFrame,
        hits: Hits,
        shown: pl.DataFrame | None,
        tenants: Sequence[str],
        watermarks: npt.NDArray[np.int64],
    ) -> list[Records]:
        plan, listing = self._plan, self._listing
        partitions = plan.matches_partitions if plan.shared_records else None
        made = [
            partials(
                events,
                hits if listing is None else listing.direct(hits),
                plan.rules.rules,
                tenants=tenants,
                source=source,
                watermarks=watermarks,
                partitions=partitions,
                shown=shown,
            )
        ]
        if listing is not None:
            made.append(
                listing.records(
                    events,
                    hits,
                    tenants=tenants,
                    source=source,
                    watermarks=watermarks,
                    partitions=partitions,
                    shown=shown,
                )
            )
        return made

    @staticmethod
    def _seen(tenant: TenantPlan, events: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        with stage("mask", tenant.name):
            assert tenant.mask is not None  # noqa: S101  # only those that have one come here
            return Masked(tenant.mask, events).shown(columns)


def _views(
    alike: Sequence[str], masked: Sequence[TenantPlan]
) -> list[tuple[Sequence[str], TenantPlan | None]]:
    """Names of tenants that see the same of what matched, and the tenant if it is masked."""
    own: list[tuple[Sequence[str], TenantPlan | None]] = [([each.name], each) for each in masked]
    return [(alike, None), *own] if alike else own


def outputs(matches: str, records: Records) -> list[Output]:
    """Records of `matches`, whose topic that is."""
    made = []
    if len(records.values):
        made.append(Output(matches, records.values, records.keys))
    return [*made, *(Output(matches, [value], [b""], at) for at, value in records.batches)]
