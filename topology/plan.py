"""What a deployment consists of, as the topology sees it: no files, no addresses, no secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from topology.aggregations import Aggregations
from topology.enrich import Enricher
from topology.filters import NO_FILTERS, Filters
from topology.mask import Mask
from topology.match.ruleset import RuleSet
from topology.mutate.mutation import Mutation
from topology.normalize.normalizer import Current, Normalizer
from topology.projection import Projection
from topology.rules import LogSource, Tumbling
from topology.topics import Names


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One source. `lateness_ms`: how far behind its partition an event may be and still count."""

    name: str
    format: str
    logsource: LogSource | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    lateness_ms: int = 30_000
    mutations: tuple[Mutation, ...] = ()
    filters: Filters = NO_FILTERS
    normalizer: Current | None = None
    """Instead of the format's own."""
    aggregations: Aggregations | None = None
    """None: there are none, and there is no store of them."""
    kind: str = "base"
    """What its events are: base, or monitoring."""

    @property
    def own_normalizer(self) -> Normalizer | None:
        """The one in use now, if it is not the format's."""
        return self.normalizer.current if self.normalizer else None

    @property
    def hold_ms(self) -> int:
        """How far behind its stream time `matches` hears that it is. Aggregated events come when
        their windows have ended, and correlations wait for them."""
        return self.lateness_ms + (self.aggregations.window_ms if self.aggregations else 0)


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """One tenant. `key` names the event column that keys its events; `without` is left out, `mask`
    says what it reads no clear values of, `fields` which attributes its events have, `filters`
    which events it has.

    `enrichers` are its own: what they add is seen by its feeds and by rules on its behalf alone.
    `schema_ids`: with avro, the id that a schema registry has given to the schema of a feed; none
    where there is no registry.
    """

    name: str
    sources: frozenset[str]
    events: bool = True
    alerts: bool = True
    format: str = "ocsf-json"
    key: str = "dst_endpoint.hostname"
    without: frozenset[str] = frozenset()
    enrichers: tuple[Enricher, ...] = ()
    mask: Mask | None = None
    fields: Projection | None = None
    filters: Filters = NO_FILTERS
    schema_ids: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what comes out, given what goes in.

    `origins` gives each raw topic the stem of its events' uids (topology/uid.py). `expose` names
    the stage boundaries that are topics (topology/topics.py BOUNDARIES). `shared_records`: whether
    `matches` may have PartialBatches, which older workers cannot read.
    """

    names: Names
    sources: Mapping[str, SourcePlan]
    tenants: Mapping[str, TenantPlan]
    origins: Mapping[str, str]
    rules: RuleSet
    enrichers: tuple[Enricher, ...] = ()
    aggregates: tuple[Tumbling, ...] = ()
    matches_partitions: int = 4
    expose: frozenset[str] = frozenset()
    shared_records: bool = True

    @property
    def all_enrichers(self) -> list[Enricher]:
        """Those of everybody, and those of each tenant."""
        return [
            *self.enrichers,
            *(each for tenant in self.tenants.values() for each in tenant.enrichers),
        ]

    @property
    def aggregating(self) -> dict[str, str]:
        """Sources with aggregations, and the store of each."""
        return {
            name: f"aggregated.{name}"
            for name, source in self.sources.items()
            if source.aggregations is not None
        }

    def tenants_of(self, source: str) -> list[TenantPlan]:
        """The tenants that receive a source."""
        return [tenant for tenant in self.tenants.values() if source in tenant.sources]
