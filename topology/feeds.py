"""Events as each tenant reads them: filtered, masked, projected; encoded once for equal choices."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import polars as pl

from topology.isolate import stage
from topology.masked import Masked
from topology.northbound import serializer
from topology.plan import TenantPlan
from topology.records import Output
from topology.texts import column_shortened
from topology.topics import Names

LARGEST = 4_000_000
"""Bytes that an event may have; its topic takes a little more (topology/topics.py)."""


def feeds(
    names: Names, tenants: Sequence[TenantPlan], events: pl.DataFrame, counts: Counter[str]
) -> Iterator[Output]:
    """Records for the events topics of tenants that see the same. Raises StageError.

    What a tenant's filter dropped is added to `counts` as `feed.<tenant>.<filter>`.
    """
    views = _Views(events)
    encoded: dict[Hashable, pl.Series] = {}
    keyed: dict[Hashable, pl.Series] = {}
    for tenant in tenants:
        if not tenant.events:
            continue
        kept, dropped = views.kept(tenant)
        counts.update({f"feed.{tenant.name}.{name}": count for name, count in dropped.items()})
        if not kept.height:
            continue
        which = (tenant.filters.form, tenant.mask and tenant.mask.form)
        schema_id = tenant.schema_ids.get("events")
        form = (tenant.format, schema_id, tenant.without, tenant.fields, which)
        if form not in encoded:
            encoded[form] = _encode(views.feed(tenant), tenant)
        # What is dropped keeps records of one key together by a hash of the tenant's own.
        by = (tenant.key, tenant.filters.form, tenant.mask and tenant.name)
        if by not in keyed:
            keyed[by] = _keys(views.keyed(tenant), tenant.key)
        yield Output(names.events(tenant.name), encoded[form], keyed[by])


class _Views:
    """What tenants see of events; each view is made once."""

    def __init__(self, events: pl.DataFrame) -> None:
        self._events = events
        self._kept: dict[str, tuple[pl.DataFrame, Counter[str]]] = {}
        self._masked: dict[str, Masked] = {}
        self._repeats: dict[Hashable, dict[str, Any]] = {}
        self._feeds: dict[Hashable, pl.DataFrame] = {}

    def kept(self, tenant: TenantPlan) -> tuple[pl.DataFrame, Counter[str]]:
        """What a tenant's filters keep, and how many events each of them dropped."""
        if not tenant.filters:
            return self._events, Counter()
        form = tenant.filters.form
        if form not in self._kept:
            with stage("filter", tenant.name):
                self._kept[form] = tenant.filters.apply(self._events)
        return self._kept[form]

    def feed(self, tenant: TenantPlan) -> pl.DataFrame:
        """What is encoded for a tenant."""
        if tenant.mask is None:
            return self.kept(tenant)[0]
        form = (tenant.filters.form, tenant.mask.form)
        if form not in self._feeds:
            with stage("mask", tenant.name):
                self._feeds[form] = self._of(tenant).feed()
        return self._feeds[form]

    def keyed(self, tenant: TenantPlan) -> pl.DataFrame:
        """Where its records' keys are."""
        if tenant.mask is None:
            return self.kept(tenant)[0]
        with stage("mask", tenant.name):
            return self._of(tenant).keys(tenant.key)

    def _of(self, tenant: TenantPlan) -> Masked:
        if tenant.name not in self._masked:
            mask = tenant.mask
            assert mask is not None  # noqa: S101  # both callers have looked
            # Tenants' hashes differ; where they are needed does not.
            alike = (tenant.filters.form, frozenset(mask.actions.items()))
            known = self._repeats.setdefault(alike, {})
            self._masked[tenant.name] = Masked(mask, self.kept(tenant)[0], known)
        return self._masked[tenant.name]


def _encode(events: pl.DataFrame, tenant: TenantPlan) -> pl.Series:
    with stage("encode", tenant.format):
        without = tenant.without
        if tenant.fields is not None:
            without |= tenant.fields.without(events.columns)
        encode = serializer(tenant.format, tenant.schema_ids.get("events"))
        encoded = encode(events, without=without).cast(pl.Binary)
        longest = encoded.bin.size().max()
        if isinstance(longest, int) and longest > LARGEST:
            raise ValueError(f"{longest} bytes in {tenant.format}, at most {LARGEST} fit a record")
        return encoded


def _keys(events: pl.DataFrame, column: str) -> pl.Series:
    if column not in events.columns:
        return pl.Series([b""]).new_from_index(0, events.height)
    # With a value that just fits, a key as long as a line would be too much for a record.
    return column_shortened(events[column].cast(pl.String)).cast(pl.Binary).fill_null(b"")
