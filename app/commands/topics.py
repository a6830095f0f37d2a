"""`northbound topics list|create|describe|delete`: the declaration and what the cluster has."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.options import ConfigOption, JsonOption, configured
from app.config import DEFAULT_PATH, Config
from app.output import WRONG_USAGE, as_json, fail, rows

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from app.broker.topic_changes import Change
    from topology.topics import Topic

app = typer.Typer(help="Topics: as declared, and as the cluster has them.", no_args_is_help=True)

ANSWER_S = 10.0
"""Seconds that a cluster may take to answer, TLS and SASL included."""
ANSWER_HERE_S = 3.0
"""The same for the embedded one."""

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@contextmanager
def reported() -> Iterator[None]:
    """End the command with one message where the configuration or the cluster says no."""
    from app.broker.cluster_error import ClusterError
    from app.config import ConfigError

    try:
        yield
    except (ClusterError, ConfigError) as error:
        fail(error)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person; without one, and without --yes, end with wrong usage."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Say --yes to do it without being asked.", WRONG_USAGE)
    if not typer.confirm(question):
        raise typer.Exit(1)


def connected(settings: Config) -> "AdminClient":
    """An admin client of a cluster that answers. Raises ClusterError, with what to do."""
    from confluent_kafka import KafkaException

    from app.broker import admin
    from app.broker.cluster_error import ClusterError

    client, external = settings.client(), settings.kafka.external
    connection = admin.connect(client)
    seconds = ANSWER_HERE_S if external is None else ANSWER_S
    try:
        connection.list_topics(timeout=seconds)
    except KafkaException as error:
        advice = (
            "Start it with `northbound up`, or look at what it says if it runs."
            if external is None
            else "Is Kafka up, is kafka.external.bootstrap right, and does kafka.external.security "
            "say what that listener wants?"
        )
        raise ClusterError(
            f"Kafka at {client['bootstrap.servers']} does not answer within {seconds:.0f} s "
            f"({error.args[0].str()}). {advice}"
        ) from error
    return connection


def declaration(settings: Config) -> "list[Topic]":
    """All topics that the configuration asks for."""
    from app.planning import build_plan, declared

    return declared(settings, build_plan(settings, origins={}, make_key=True))


@app.command("list")
def list_(*, json: JsonOption = False, config: ConfigOption = DEFAULT_PATH) -> None:
    """Show every topic and whether the cluster has it as declared.

    Example: northbound topics list
    """
    from app.broker import admin
    from app.broker.cluster_error import ClusterError
    from app.broker.topic_changes import undeclared

    settings = configured(config)
    with reported():
        declared = declaration(settings)
        client = connected(settings)
        found = admin.existing(client)
        problem = ""
        try:
            changes = admin.plan(client, declared)
        except ClusterError as error:
            changes, problem = [], str(error)
    states: dict[str, str] = {}
    for change in changes:
        states.setdefault(change.topic, "missing" if change.action == "create" else str(change))
    table = [
        {
            "topic": topic.name,
            "partitions": found[topic.name].partitions if topic.name in found else 0,
            "state": states.get(topic.name, "as declared" if not problem else "see below"),
            "key": topic.key,
            "value": topic.value,
            "cleanup": topic.cleanup,
            "retention_ms": topic.retention_ms,
        }
        for topic in declared
    ]
    table += [
        {"topic": name, "partitions": found[name].partitions, "state": "not declared"}
        for name in undeclared(settings.names, declared, found)
    ]
    rows(table, ["topic", "partitions", "state", "key", "value"], json=json, title="Topics")
    if problem:
        fail(problem)


@app.command()
def create(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")] = False,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Create missing topics, grow and set those that differ; never shrink, never delete.

    Example: northbound topics create --dry-run
    """
    from app import audit
    from app.broker import admin

    settings = configured(config)
    with reported():
        client = connected(settings)
        changes = admin.plan(client, declaration(settings))
        if not dry_run and not settings.unmanaged:
            made: list[Change] = []
            audited = audit.Writer(settings.client(), settings.names)
            try:
                admin.apply(client, changes, settings.replication, made.append)
            finally:
                for change in made:
                    audited.record(f"topic.{change.action}", change.topic)
    table = [{"topic": each.topic, "action": each.action, "change": str(each)} for each in changes]
    if not table and not as_json(json):
        typer.echo("Every topic is as declared.")
        return
    title = "To do by whoever manages the cluster" if settings.unmanaged else "Changes"
    rows(table, ["change"], json=json, title=f"{title}{' (nothing done)' if dry_run else ''}")


@app.command()
def describe(
    topic: Annotated[str, typer.Argument(help="Full name, with the prefix.")],
    *,
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show a topic's partitions, how many records each holds, and its settings.

    Example: northbound topics describe northbound.acme.alerts
    """
    from app.broker import admin, partitions

    settings = configured(config)
    with reported():
        client = connected(settings)
        found = admin.existing(client, [topic])
        if topic not in found:
            fail(f"No topic {topic}; `northbound topics list` shows all.")
        described = partitions.described(client, topic)
        entries = admin.settings(client, [topic])[topic]
    if as_json(json):
        one: dict[str, Any] = {
            "topic": topic,
            "topic_id": found[topic].topic_id,
            "partitions": described,
            "settings": entries,
        }
        rows([one], [], json=True)
        return
    columns = ["partition", "leader", "replicas", "in_sync", "first", "next"]
    rows(described, columns, json=False, title=f"{topic} ({found[topic].topic_id})")
    shown = [{"setting": key, "value": value} for key, value in sorted(entries.items())]
    rows(shown, ["setting", "value"], json=False)


@app.command()
def delete(
    topic: Annotated[str, typer.Argument(help="Full name, with the prefix.")],
    *,
    yes: YesOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Delete a topic and every record in it.

    Example: northbound topics delete raw.old-source
    """
    from app import audit
    from app.broker import admin

    settings = configured(config)
    if settings.unmanaged:
        fail("kafka.external.manage is false: whoever manages the cluster deletes topics.")
    with reported():
        client = connected(settings)
        if topic not in admin.existing(client, [topic]):
            fail(f"No topic {topic}; `northbound topics list` shows all.")
        again = any(each.name == topic for each in declaration(settings))
        note = " The configuration declares it, so the next start makes it anew." if again else ""
        confirm(f"Delete {topic} and every record in it?{note}", yes=yes)
        admin.delete(client, [topic])
        if topic != settings.names.audit:
            audit.record(settings.client(), settings.names, "topic.delete", topic)
    typer.echo(f"Deleted {topic}.")
