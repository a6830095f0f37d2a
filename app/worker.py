"""One stream worker: `faust -A app.worker worker`. Runs the sub-topologies of topology/pipeline.py.

NORTHBOUND_CONFIG names the configuration (default: northbound.yaml in the working directory), and
NORTHBOUND_AGENTS the sub-topologies to run (default: all), such as `events,alerts`. With
`expose: [normalized]` there is one more, `normalize`.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before Polars is loaded. One thread: workers scale by processes, and handing small columns to a
# pool costs more than it saves. Memory of one batch is kept for the next one.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:-1")

from app.audit import record
from app.broker import ports
from app.broker.cluster_error import ClusterError
from app.changes_metric import ChangesCollector
from app.checking import complete
from app.config import DEFAULT_PATH, Config, ConfigError, load
from app.dictionary_topics import TopicDictionary
from app.lookup_thread import Background, LookupCollector, resolvers_of
from app.origins import Origins
from app.plan_reloading import ReloadingPlan
from app.planning import build_plan, declared
from app.raw_partitions import Looked, RawPartitions
from app.reading import ReadingError
from app.reloading import Reloading, look_at
from app.runtime.errors import EngineError
from app.runtime.faust_app import App
from app.runtime.memory import keep_freed
from app.runtime.settings import MOST_PARTITIONS, transaction_timeout
from app.schema_registry.subjects import schema_ids
from app.status import WORKER_FILE, write_status
from app.supervisor import end_with_parent
from topology.events import EventsSubTopology
from topology.pipeline import ALERTS, Node, alerts, pipeline
from topology.plan import Plan

if TYPE_CHECKING:
    from topology.records import SubTopology
    from topology.topics import Partition

log = logging.getLogger("northbound.worker")

STATUS_S = 1.0
ANNOUNCE_S = 2.0
TABLES_S = 2.0


def create_app(config: Config, agents: Iterable[str] | None = None) -> App:
    """The Faust app of a worker. Raises ConfigError for a bad rule, dictionary, key or agent, and
    ReadingError for a dictionary's topic that cannot be read."""
    client = config.client()
    raw = [config.names.raw(source) for source in config.sources]
    read = {*raw, *map(config.names.enrichment, config.dictionary_topics)}
    origins = Origins(client, raw)
    plan = build_plan(config, origins, schema_ids=schema_ids(config))
    nodes = {node.name: node for node in pipeline(plan.expose)}
    chosen = list(nodes) if agents is None else list(agents)
    if unknown := [name for name in chosen if name not in nodes]:
        known = ", ".join(nodes)
        raise ConfigError(
            [f"NORTHBOUND_AGENTS: saw {name!r}, expected one of {known}" for name in unknown]
        )
    partitions = sum(each.partitions for each in declared(config, plan) if each.name not in read)
    if partitions > MOST_PARTITIONS:
        log.warning(
            "There are more output partitions than a transaction can be sure to reach in time; one "
            "that does not is done again. Give small tenants one each (tenants.NAME.partitions). "
            "partitions=%d at_most=%d",
            partitions,
            MOST_PARTITIONS,
        )
    app = App(
        f"{config.kafka.topic_prefix}northbound",
        client=client,
        state=config.state,
        web_bind=config.workers.web_host,
        web_host="127.0.0.1",
        web_port=ports.free(config.workers.web_host),
        engine_options={
            "commit_interval": config.workers.commit_interval / 1000,
            "max_batch": config.workers.max_batch,
            "store": config.workers.store,
            "standby": config.workers.standby_replicas,
            "transaction_timeout": transaction_timeout(partitions),
        },
    )
    filled = RawPartitions(client, [plan.names.raw(name) for name in plan.sources])
    for name, node in nodes.items():
        if name in chosen:
            _add(app, config, plan, node, filled, on_new_topic=origins.forget)

    async def status() -> None:
        """Tell `northbound status` what this worker does."""
        if app.engines:
            slot = app.engines[0].settings.instance.rpartition("-")[2]
            engines = [engine.statistics.snapshot() for engine in app.engines]
            told = {"ready": app.ready, "engines": engines, "not_in_use": not_in_use()}
            told["lists"] = reloading.rules.lists
            told["web"] = f"{config.workers.web_host}:{app.conf.web_port}"
            write_status(config.state, f"{WORKER_FILE}{slot}", told)

    if resolvers := resolvers_of(plan.all_enrichers):
        app.collectors.append(LookupCollector(resolvers))
        if EventsSubTopology.name in chosen:
            Background(resolvers).start()

    for each in plan.all_enrichers:
        if isinstance(each, TopicDictionary) and EventsSubTopology.name in chosen:
            each.start(client, config.names.enrichment(each.topic))

    changing = [*plan.all_enrichers, *(source.normalizer for source in plan.sources.values())]

    def replacing(name: str, changed: Plan) -> None:
        """A sub-topology that runs here goes on with another plan."""
        for engine in app.engines:
            if name in chosen and engine.settings.name == name:
                engine.replace(_built(nodes[name], changed, filled))

    reloading = ReloadingPlan(config, plan, replacing)

    def not_in_use() -> list[str]:
        """Why what is in files now is not in use."""
        tables = [each.problem for each in changing if isinstance(each, Reloading)]
        return [*reloading.problems, *(each for each in tables if each is not None)]

    app.collectors.append(ChangesCollector(not_in_use))

    def tell(action: str, details: dict[str, str]) -> None:
        """Write into the audit topic what became of changed rules."""
        try:
            record(client, config.names, action, ", ".join(map(str, config.all_rules)), details)
        except ClusterError as error:
            log.warning("%s", error)

    def look() -> None:
        look_at(changing)
        before = reloading.rules.problems
        found = reloading.look(time.monotonic())
        if found:
            tell("rules.change", {kind: ", ".join(sorted(each)) for kind, each in found.items()})
        if fresh := [each for each in reloading.rules.problems if each not in before]:
            tell("rules.wait", {"problem": "; ".join(fresh)})

    def there(found: "frozenset[Partition]") -> None:
        for engine in app.engines:
            if isinstance(engine.sub_topology, EventsSubTopology):
                engine.sub_topology.announce(found)

    looked = Looked(filled, there, reloading.again)

    async def partitions_there() -> None:
        """Notice raw partitions that got their first record while their owner is away, and those
        of topics that were made anew."""
        try:
            await app.loop.run_in_executor(None, looked.look)
        except EngineError as error:
            log.warning("Raw partitions could not be looked at. error=%s", error)

    async def files() -> None:
        """Take up tables of enrichments, normalizers and rules that changed."""
        try:
            await app.loop.run_in_executor(None, look)
        except Exception:
            log.exception("Changed files could not be taken up.")

    app.timer(STATUS_S)(status)
    app.once_ready.append(status)  # `northbound up` waits for it
    app.timer(TABLES_S)(files)
    app.timer(ANNOUNCE_S)(partitions_there)
    return app


def _add(
    app: App, config: Config, plan: Plan, node: Node, filled: RawPartitions, **more: Any
) -> None:
    stores = node.stores(plan)
    options: dict[str, Any] = {"coalesce": node.name != ALERTS.name, **more}
    if stores:
        options["changelogs"] = {each.store: config.names.changelog(each.store) for each in stores}
    sub_topology = _built(node, plan, filled)
    if isinstance(sub_topology, EventsSubTopology):
        options["inputs"] = sub_topology.inputs
    app.add_sub_topology(
        sub_topology,
        node.topics(plan),
        group=config.names.group(node.group),
        **options,
    )


def _built(node: Node, plan: Plan, filled: RawPartitions) -> "SubTopology":
    if node.build is EventsSubTopology:
        return EventsSubTopology(plan, filled)
    return alerts(plan, filled.known) if node.name == ALERTS.name else node.build(plan)


def _from_environment() -> App:
    end_with_parent()
    keep_freed()
    path = Path(os.environ.get("NORTHBOUND_CONFIG", DEFAULT_PATH))
    agents = os.environ.get("NORTHBOUND_AGENTS")
    try:
        return create_app(load(path), agents.split(",") if agents else None)
    except ConfigError as error:
        sys.exit(str(complete(path, error)))
    except ReadingError as error:
        sys.exit(str(error))


app = _from_environment()
