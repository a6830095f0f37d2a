"""What is declared against what a cluster has, without a cluster: lines, order, commands."""

from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from app.broker import difference, rights
from app.broker.cluster_error import ClusterError
from app.broker.difference import Cluster, Declared, Difference
from app.broker.difference_lines import Item, items
from app.broker.kafka_commands import Commands
from app.broker.topic_changes import Found, Seen
from app.config.tenants import Quota
from topology.topics import DAY_MS, Names, Topic

NAMES = Names("p.")
RAW = Topic(NAMES.raw("a"), "", "", 4, retention_ms=7 * DAY_MS)
ALERTS = Topic(NAMES.alerts("acme"), "", "", 1, cleanup="compact,delete", tenant="acme")
DECLARED = Declared(NAMES, [RAW, ALERTS], {"acme": Quota()})
QUOTA = {"consumer_byte_rate": 100_000_000.0, "request_percentage": 100.0}
BOTH = ("SCRAM-SHA-256", "SCRAM-SHA-512")


def seen(*topics: Topic) -> Seen:
    """A cluster that has these, as they are."""
    return Seen(
        {each.name: Found(each.name, "id", each.partitions, 1) for each in topics},
        {each.name: each.settings() for each in topics},
    )


WHOLE = Cluster(
    seen(RAW, ALERTS),
    [RAW.name, ALERTS.name, "elsewhere"],
    {"acme": BOTH},
    {"acme": rights.wanted(NAMES, "acme")},
    {"acme": QUOTA},
)


def lines(found: Difference) -> list[Item]:
    return items(found, Commands("k:9093", 3), Path("/c"))


def shown(cluster: Cluster, **options: object) -> list[str]:
    found = difference.differ(DECLARED, cluster, **options)
    return [f"{each.sign} {each.kind} {each.name}: {each.what}" for each in lines(found)]


def right(operation: AclOperation, host: str = "*") -> AclBinding:
    kind, literal = ResourceType.TOPIC, ResourcePatternType.LITERAL
    return AclBinding(kind, "x y", literal, "User:p.acme", host, operation, AclPermissionType.ALLOW)


def test_nothing_to_do() -> None:
    """As declared, in another order of a list, with more partitions, paused: no line at all."""
    found = seen(replace(RAW, partitions=9), ALERTS)
    found.settings[ALERTS.name]["cleanup.policy"] = "delete,compact"
    pause = rights.pauses(NAMES, "acme", ["events"])
    has = {"acme": [*rights.wanted(NAMES, "acme"), *pause]}
    assert shown(replace(WHOLE, topics=found, rights=has)) == []


def test_nothing_there_yet() -> None:
    """Everything is created, topics first, in the order in which data flows."""
    nothing = Cluster(users={}, rights={}, quotas={})
    assert shown(nothing) == [
        "+ topic p.raw.a: 4 partitions, delete after 7d",
        "+ topic p.northbound.acme.alerts: 1 partition, compact,delete",
        "+ user p.acme: SCRAM-SHA-256, SCRAM-SHA-512",
        "+ acl p.acme: READ, DESCRIBE on topic p.northbound.acme.*",
        "+ acl p.acme: READ, DESCRIBE on group p.acme.*",
        "+ quota p.acme: consumer_byte_rate 100000000, request_percentage 100",
    ]


def test_what_drifted() -> None:
    """Partitions, settings, a mechanism, a right, a quota: what was, and what will be."""
    found = seen(replace(RAW, partitions=2, retention_ms=DAY_MS), ALERTS)
    cluster = Cluster(
        found,
        WHOLE.everything,
        {"acme": BOTH[:1]},
        {"acme": rights.wanted(NAMES, "acme")[1:]},
        {"acme": {"consumer_byte_rate": 5.0, "producer_byte_rate": 7.0}},
    )
    assert shown(cluster) == [
        "~ topic p.raw.a: partitions 2 -> 4",
        "~ topic p.raw.a: retention.ms 86400000 -> 604800000",
        "~ user p.acme: SCRAM-SHA-512",
        "+ acl p.acme: READ on topic p.northbound.acme.*",
        "~ quota p.acme: consumer_byte_rate 5 -> 100000000, request_percentage 100",
    ]
    with_less = replace(DECLARED, quotas={"acme": Quota(request_percent=None)})
    found_ = difference.differ(with_less, WHOLE)
    assert [each.what for each in lines(found_)] == ["request_percentage 100 -> (none)"]


def test_lines_that_no_worker_has_read_are_told() -> None:
    """A source that was renamed leaves them behind, and nobody reads them under its new name: with
    the topic they would be gone."""
    left = [*WHOLE.everything, "p.raw.old"]
    cluster = replace(WHOLE, everything=left, unread={"p.raw.old": 1234})
    unread = "; up to 1,234 of its records were read by no worker: a source of this name mends it"
    assert shown(cluster) == [
        f"  topic p.raw.old: not declared, left alone (--delete p.raw.old){unread}"
    ]
    assert shown(cluster, delete=["p.raw.old"]) == [
        f"- topic p.raw.old: with every record in it{unread}"
    ]


def test_nothing_is_deleted_without_being_told() -> None:
    """What nobody declares is named and left alone; other names than ours are not even named."""
    left = [*WHOLE.everything, "p.raw.old", "raw.of-another-prefix"]
    extra = [*rights.wanted(NAMES, "acme"), right(AclOperation.WRITE, "10.0.0.5")]
    cluster = replace(WHOLE, everything=left, rights={"acme": extra})
    assert shown(cluster) == [
        "  acl p.acme: WRITE on topic x y from 10.0.0.5: not declared, left alone (--revoke)",
        "  topic p.raw.old: not declared, left alone (--delete p.raw.old)",
    ]
    assert shown(cluster, delete=["p.raw.old", "elsewhere"], revoke=True) == [
        "- topic elsewhere: with every record in it",
        "- topic p.raw.old: with every record in it",
        "- acl p.acme: WRITE on topic x y from 10.0.0.5",
    ]
    with pytest.raises(ClusterError, match="is declared"):
        shown(cluster, delete=[RAW.name])
    with pytest.raises(ClusterError, match=r"No topic p\.raw\.b"):
        shown(cluster, delete=["p.raw.b"])


def test_partitions_that_may_never_change() -> None:
    """They are a problem beside the plan, which has the rest."""
    declared = Declared(NAMES, [replace(RAW, fixed=True), ALERTS], {})
    found = difference.differ(declared, Cluster(seen(replace(RAW, partitions=2))))
    assert [each.name for each in lines(found)] == [ALERTS.name]
    assert "set kafka.matches_partitions to 2" in found.problems[0]


def test_a_tenant_with_certificates() -> None:
    """It needs no password, its first certificate has to be issued, and each that it has needs the
    tenant's rights and quota; what another one has is told."""
    first = replace(DECLARED, by_certificate=["acme"])
    cluster = replace(WHOLE, users={})
    found = lines(difference.differ(first, cluster))
    assert [(each.kind, each.name, each.what) for each in found] == [
        ("user", "p.acme", "a certificate, issued by tenants add")
    ]
    held = replace(first, logins={"acme": ["acme/2-ab"]})
    other = rights.wanted(NAMES, "acme", ["acme/1-cd"])
    found = lines(difference.differ(held, replace(cluster, rights={"acme": other})))
    assert [(each.sign, each.kind, each.name) for each in found] == [
        *[("+", "acl", "p.acme/2-ab")] * 2,
        ("+", "quota", "p.acme/2-ab"),
        *[(" ", "acl", "p.acme/1-cd")] * 4,
    ]
    paused = rights.pauses(NAMES, "acme", ["events"], ["acme/2-ab"])
    has = {"acme": [*rights.wanted(NAMES, "acme", ["acme/2-ab"]), *paused]}
    same = {"acme": QUOTA, "acme/2-ab": QUOTA}
    assert lines(difference.differ(held, replace(cluster, rights=has, quotas=same))) == []


def test_what_may_not_be_seen_is_planned_whole() -> None:
    """As if nothing of it were there, and marked, so that nobody takes it for a difference."""
    hidden = Seen(seen(ALERTS).topics, seen(ALERTS).settings, {RAW.name: "no right"})
    cluster = Cluster(hidden, [ALERTS.name], refusals={"topic": "no right", "acl": "no right"})
    found = difference.differ(
        DECLARED, replace(cluster, users={"acme": BOTH}, quotas={"acme": QUOTA})
    )
    got = lines(found)
    assert [(each.kind, each.name, each.unseen) for each in got] == [
        ("topic", RAW.name, True),
        ("acl", "p.acme", True),
        ("acl", "p.acme", True),
    ]
    create, configure = got[0].commands
    assert "--create --if-not-exists" in create
    assert configure.endswith("--add-config cleanup.policy=delete,retention.ms=604800000")


def test_commands() -> None:
    """Each change as Kafka's own tools take it, quoted for a shell; a password is never in one."""
    where = "--bootstrap-server k:9093 --command-config admin.properties"
    commands = Commands("k:9093", 3)
    found = difference.differ(DECLARED, Cluster(users={}, rights={}, quotas={}))
    told = [command for line in lines(found) for command in line.commands]
    user = f"kafka-configs.sh {where} --alter --entity-type users --entity-name p.acme"
    acl = f"kafka-acls.sh {where} --add --allow-principal User:p.acme --operation Read"
    create = f"kafka-topics.sh {where} --create --if-not-exists --topic"
    kept = "--config cleanup.policy=delete --config retention.ms=604800000"
    alerts, policy = "p.northbound.acme.alerts", "cleanup.policy=compact,delete"
    assert told == [
        f"{create} p.raw.a --partitions 4 --replication-factor 3 {kept}",
        f"{create} {alerts} --partitions 1 --replication-factor 3 --config {policy}",
        *(
            f"sed 's/^/{each}=iterations=8192,password=/' /c/acme.password | {user} "
            "--add-config-file /dev/stdin"
            for each in BOTH
        ),
        f"{acl} --operation Describe --topic p.northbound.acme. --resource-pattern-type prefixed",
        f"{acl} --operation Describe --group p.acme. --resource-pattern-type prefixed",
        f"{user} --add-config consumer_byte_rate=100000000,request_percentage=100",
    ]
    configure = f"kafka-configs.sh {where} --alter --entity-type topics --entity-name"
    drifted = seen(replace(RAW, partitions=2), replace(ALERTS, cleanup="delete"))
    found = difference.differ(DECLARED, replace(WHOLE, topics=drifted))
    assert [command for line in lines(found) for command in line.commands] == [
        f"kafka-topics.sh {where} --alter --topic p.raw.a --partitions 4",
        f"{configure} {alerts} --add-config 'cleanup.policy=[compact,delete]'",
    ]
    assert commands.rights([right(AclOperation.DESCRIBE_CONFIGS, "::1")], remove=True) == (
        f"kafka-acls.sh {where} --remove --force --allow-principal User:p.acme --allow-host ::1 "
        "--operation DescribeConfigs --topic 'x y' --resource-pattern-type literal"
    )
    assert commands.quota("p.acme", {"request_percentage": None}) == [
        f"{user} --delete-config request_percentage"
    ]
    assert commands.delete_topic("t") == [f"kafka-topics.sh {where} --delete --topic t"]
