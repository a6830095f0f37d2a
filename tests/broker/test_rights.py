"""What tenants may do, as Kafka is told it; no broker."""

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from app.broker import rights
from topology.topics import Names

NAMES = Names("eu.", main=frozenset({"soc"}))
LOGIN = "soc/1-0a1b2c3d"


def read_by(bindings: list[AclBinding], topic: str, who: str) -> bool:
    """Whether Kafka lets a user read a topic: what is denied goes before what is allowed."""
    about = [
        each
        for each in bindings
        if each.restype == ResourceType.TOPIC
        and each.operation == AclOperation.READ
        and each.principal == f"User:{who}"
        and (
            topic.startswith(each.name)
            if each.resource_pattern_type == ResourcePatternType.PREFIXED
            else topic == each.name
        )
    ]
    allowed = {each.permission_type for each in about}
    return allowed == {AclPermissionType.ALLOW}


@pytest.mark.parametrize("who", ["soc", LOGIN])
def test_a_main_tenant_reads_the_feeds_of_all(who: str) -> None:
    """And nothing else: no topic of Northbound's own, and no group but those that begin with its
    name; another tenant reads what is its own."""
    given = [*rights.wanted(NAMES, "soc", [LOGIN]), *rights.wanted(NAMES, "acme")]
    feeds = [NAMES.events(each) for each in ("soc", "acme", "acme-2")]
    assert all(read_by(given, topic, f"eu.{who}") for topic in feeds)
    own = [NAMES.raw("northbound"), NAMES.normalized("x"), NAMES.enrichment("x"), NAMES.matches]
    own += [NAMES.dead_letters, NAMES.audit, NAMES.connector_offsets, NAMES.changelog("alerts")]
    own += [Names().events("acme"), NAMES.group("events")]
    assert not any(read_by(given, topic, f"eu.{who}") for topic in own)
    assert [read_by(given, topic, "eu.acme") for topic in feeds] == [False, True, False]
    groups = {each.name for each in given if each.restype == ResourceType.GROUP}
    assert groups == {"eu.soc.", "eu.acme."}
    assert {each.operation for each in given} == {AclOperation.READ, AclOperation.DESCRIBE}


def test_a_main_tenant_that_is_paused_reads_nothing() -> None:
    """Of others neither. Its own pause holds no delivery of theirs."""
    given = rights.wanted(NAMES, "soc", [LOGIN])
    denied = rights.pauses(NAMES, "soc", rights.FEEDS, [LOGIN])
    assert not any(
        read_by([*given, *denied], topic, f"eu.{who}")
        for who in ("soc", LOGIN)
        for topic in (NAMES.alerts("soc"), NAMES.alerts("acme"), NAMES.events("new"))
    )
    assert rights.paused(denied, NAMES, "soc") == ["events", "alerts"]
    _, surplus = rights.differences(NAMES, ["soc"], {"soc": [*given, *denied]}, {"soc": [LOGIN]})
    assert surplus == {"soc": []}


def test_a_tenant_that_is_main_no_more_is_told() -> None:
    """By the rights that it has too many."""
    given = rights.wanted(NAMES, "soc")
    missing, surplus = rights.differences(Names("eu."), ["soc"], {"soc": given}, {})
    assert missing == {"soc": []}
    assert {each.name for each in surplus["soc"]} == {"eu.northbound."}
