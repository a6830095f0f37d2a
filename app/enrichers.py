"""Entries of `enrich` in northbound.yaml become enrichers, their files read. One line a kind."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

from app import dns_lookups, qumulo_lookups
from app.config.enrichment import Enrichment
from app.config.fields import server_port
from app.dictionary_topics import TopicDictionary
from app.geoip import load_geoip
from app.live_lookups import Limits, Resolver
from app.lookups import check_name, load_dictionary
from app.reloading import ReloadingEnricher
from app.threats import KEY, load_threats
from topology.enrich import Enricher
from topology.enrich.attribute import Attribute
from topology.enrich.looked_up import LookedUp
from topology.templates import Copy, template

Absolute: TypeAlias = Callable[[Path], Path]
"""From a path of northbound.yaml."""


def load_enricher(entry: Enrichment, path: Absolute) -> Enricher:
    """What an entry says, with its file read. Raises LookupErrors, TemplateError or SetupError."""
    load = partial(LOADERS[entry.kind], entry, path)
    return load() if entry.file is None else ReloadingEnricher(path(entry.file[1]), load)


def _dictionary(entry: Enrichment, path: Absolute) -> Enricher:
    assert entry.dictionary and entry.key and entry.name  # noqa: S101, PT018  # the kind's keys
    return load_dictionary(
        path(entry.dictionary),
        key=entry.key,
        fields=entry.looked_up,
        name=entry.name,
        match=entry.match or "exact",
    )


def _topic(entry: Enrichment, path: Absolute) -> Enricher:
    assert entry.topic and entry.key and entry.name  # noqa: S101, PT018  # the kind's keys
    check_name(path(Path(entry.topic)), entry.name)
    match = entry.match or "exact"
    return TopicDictionary(entry.topic, entry.key, entry.looked_up, entry.name, match)


def _threats(entry: Enrichment, path: Absolute) -> Enricher:
    assert entry.threats and entry.name  # noqa: S101, PT018  # the kind's keys
    return load_threats(
        path(entry.threats),
        name=entry.name,
        key=entry.key or KEY,
        attributes=entry.attributes.given() if entry.attributes else None,
    )


def _geoip(entry: Enrichment, path: Absolute) -> Enricher:
    assert entry.geoip  # noqa: S101  # the kind's key
    return load_geoip(path(entry.geoip), entry.looked_up)


def _dns(entry: Enrichment, _: Absolute) -> Enricher:
    assert entry.dns and entry.entry_name  # noqa: S101, PT018  # the kind's key
    servers = [server_port(each) for each in entry.servers or ()]
    asker = dns_lookups.dns_asker(entry.dns, servers, entry.timeout / 1000)
    resolver = Resolver(entry.entry_name, asker, _limits(entry))
    return LookedUp(
        entry.entry_name,
        entry.looked_up,
        dns_lookups.ASKERS[entry.dns].columns,
        resolver,
        beside={"hostname": "hostname"} if entry.dns == "reverse" else None,
    )


def _qumulo(entry: Enrichment, path: Absolute) -> Enricher:
    assert entry.qumulo and entry.entry_name and entry.url  # noqa: S101, PT018  # the kind's keys
    token = qumulo_lookups.Token(entry.token_file and path(entry.token_file), entry.token_env)
    asker = qumulo_lookups.qumulo_asker(
        entry.qumulo,
        entry.url,
        token,
        entry.ca_file and path(entry.ca_file),
        entry.timeout / 1000,
        entry.by,
    )
    resolver = Resolver(entry.entry_name, asker, _limits(entry))
    columns = qumulo_lookups.ASKERS[entry.qumulo].columns
    return LookedUp(entry.entry_name, entry.looked_up, columns, resolver)


def _limits(entry: Enrichment) -> Limits:
    """In seconds."""
    limits = entry.limits
    return Limits(
        entry.wait / 1000,
        limits.ttl / 1000,
        limits.negative_ttl / 1000,
        limits.cache,
        limits.queue,
        limits.rate,
        limits.concurrency,
    )


def _constant(entry: Enrichment, _: Absolute) -> Enricher:
    assert entry.constant is not None and entry.to  # noqa: S101, PT018  # the kind's keys
    return Attribute(entry.to, entry.constant)


def _template(entry: Enrichment, _: Absolute) -> Enricher:
    assert entry.template is not None and entry.to  # noqa: S101, PT018  # the kind's keys
    return Attribute(entry.to, template(entry.template))


def _from(entry: Enrichment, _: Absolute) -> Enricher:
    assert entry.from_ and entry.to  # noqa: S101, PT018  # the kind's keys
    return Attribute(entry.to, Copy(entry.from_))


LOADERS: Mapping[str, Callable[[Enrichment, Absolute], Enricher]] = {
    "dictionary": _dictionary,
    "topic": _topic,
    "threats": _threats,
    "geoip": _geoip,
    "dns": _dns,
    "qumulo": _qumulo,
    "constant": _constant,
    "template": _template,
    "from": _from,
}
"""By kind, as app.config.enrichment.KINDS."""
