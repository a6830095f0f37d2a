"""Reverse and forward DNS, asked of a real server on loopback."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from app.config import load
from app.live_lookups import Resolver
from app.lookup_thread import Background, LookupCollector, resolvers_of
from app.planning import build_plan
from tests.enrich.dns_server import DnsServer, dns_server
from topology.enrich.looked_up import LookedUp

CONFIG = """\
version: 1
kafka: {{embedded: {{}}}}
sources: {{q: {{format: qumulo}}}}
enrich:
  - {{dns: {direction}, {fields}, servers: ["127.0.0.1:{port}"], timeout: {timeout}{more}}}
"""
PATIENT = ", wait: 5s"
"""The longest wait that may be configured, which is as long as it takes here: machines are busy."""
SERVFAIL = "4.2.0.192.in-addr.arpa."
SILENT = "3.2.0.192.in-addr.arpa."
WORKER_1 = "1.2.0.192.in-addr.arpa."


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with dns_server() as running:
        running.records = {
            (WORKER_1, "PTR"): (300, ["Pc-1.Example.COM."]),
            ("8.b.d.0.1.0.0.2.ip6.arpa.", "PTR"): (300, ["short.example."]),
            ("both.example.", "A"): (300, ["192.0.2.9", "192.0.2.10"]),
            ("both.example.", "AAAA"): (300, ["2001:db8::1"]),
        }
        yield running


@contextmanager
def enrichment(
    folder: Path,
    server: DnsServer,
    direction: str = "reverse",
    fields: str = "fields: [src_endpoint.ip]",
    more: str = "",
    timeout: str = "60s",
) -> Iterator[tuple[LookedUp, Resolver]]:
    """The enricher of such an entry, while it may ask."""
    path = folder / "northbound.yaml"
    text = CONFIG.format(
        direction=direction, fields=fields, port=server.port, more=more, timeout=timeout
    )
    path.write_text(text, encoding="utf-8")
    (enricher,) = build_plan(load(path), {}).enrichers
    assert isinstance(enricher, LookedUp)
    (resolver,) = resolvers_of([enricher])
    if PATIENT in more:
        resolver._limits = replace(resolver._limits, wait=60.0)
    background = Background([resolver])
    background.start()
    try:
        yield enricher, resolver
    finally:
        server.gate.set()
        background.stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "did not come true in 60 s"
        time.sleep(0.005)


def sources(*addresses: str | None) -> pl.DataFrame:
    return pl.DataFrame({"src_endpoint.ip": addresses}, schema={"src_endpoint.ip": pl.String})


def test_a_batch_goes_on_and_the_next_one_has_the_answer(tmp_path: Path, server: DnsServer) -> None:
    """While a server is slow, events pass unenriched; each distinct address is asked for once."""
    server.gate.clear()
    with enrichment(tmp_path, server) as (enricher, resolver):
        events = sources("192.0.2.1", "192.0.2.1", None, "192.0.2.1")
        for _ in range(3):
            assert enricher.apply(events).equals(events)
        server.gate.set()
        until(lambda: resolver.lookup(["192.0.2.1"])[0] is not None)
        enriched = enricher.apply(events)
        assert enriched["src_endpoint.hostname"].to_list() == ["pc-1.example.com"] * 2 + [
            None,
            "pc-1.example.com",
        ]
        assert enriched["@enrich.dns_reverse.hostname"][0] == "pc-1.example.com"
        element = json.loads(enriched["enrichments[dns_reverse]:json"][0])
        provider, _, stamp = element.pop("provider").rpartition("@")
        assert provider == f"dns 127.0.0.1:{server.port}"
        assert time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")
        assert element == {
            "name": "src_endpoint.ip",
            "value": "192.0.2.1",
            "type": "dns_reverse",
            "data": {"hostname": "pc-1.example.com"},
        }
        assert enriched["enrichments[dns_reverse]:json"][2] is None
        assert server.asked == [(WORKER_1, "PTR")]


def test_a_name_that_the_source_gave_stays(tmp_path: Path, server: DnsServer) -> None:
    """Only absent host names are filled; codes that said which rows are equal are not kept."""
    with enrichment(tmp_path, server, more=PATIENT) as (enricher, _):
        events = sources("192.0.2.1", "192.0.2.1").with_columns(
            pl.Series("src_endpoint.hostname", ["told", None]),
            pl.Series("@code.src_endpoint.hostname", [1, 0], dtype=pl.UInt32),
        )
        enriched = enricher.apply(events)
        assert enriched["src_endpoint.hostname"].to_list() == ["told", "pc-1.example.com"]
        assert "@code.src_endpoint.hostname" not in enriched.columns


def test_held_for_the_answer_at_most_as_long_as_configured(
    tmp_path: Path, server: DnsServer
) -> None:
    """With `wait` the first event has its answer; a silent server holds a value's batches once."""
    server.silent.add(SILENT)
    with enrichment(tmp_path, server, more=PATIENT) as (enricher, _):
        assert enricher.apply(sources("192.0.2.1"))["src_endpoint.hostname"][0] is not None
    with enrichment(tmp_path, server, more=", wait: 1s") as (enricher, resolver):
        events = sources("192.0.2.3")
        started = time.monotonic()
        assert enricher.apply(events).equals(events)
        assert 0.9 < time.monotonic() - started < 30  # of a minute, which the time-out is
        held = time.monotonic()
        for _ in range(20):  # as when a batch is taken apart to find the row that breaks a stage
            enricher.apply(events)
        assert time.monotonic() - held < 10  # of twenty, if each was held
        assert resolver.counts["misses"] == 21


def test_what_is_not_there_is_remembered(tmp_path: Path, server: DnsServer) -> None:
    """No such name, no address at all, addresses of nobody: one request at most."""
    values = ["192.0.2.200", "nonsense", "127.0.0.1", "fe80::1%eth0", "::"]
    with enrichment(tmp_path, server, more=PATIENT) as (enricher, resolver):
        events = sources(*values)
        for _ in range(2):
            assert enricher.apply(events).equals(events)
        assert server.asked == [("200.2.0.192.in-addr.arpa.", "PTR")]
        assert resolver.counts["negative"] == len(values)


def test_what_is_no_host_name_is_no_answer(tmp_path: Path, server: DnsServer) -> None:
    """Whoever owns an address writes its PTR record; text that is no name reaches no event."""
    server.records[WORKER_1, "PTR"] = (300, [r"evil\"\010name.example.", "-x.example."])
    with enrichment(tmp_path, server, more=PATIENT) as (enricher, resolver):
        events = sources("192.0.2.1")
        assert enricher.apply(events).equals(events)
        assert enricher.apply(events).equals(events)
        assert resolver.counts["negative"] == 1


def test_an_ipv4_address_written_as_ipv6_is_that_address(tmp_path: Path, server: DnsServer) -> None:
    """`::ffff:192.0.2.1` is asked for in in-addr.arpa."""
    with enrichment(tmp_path, server, more=PATIENT) as (enricher, _):
        enriched = enricher.apply(sources("::ffff:192.0.2.1"))
        assert enriched["src_endpoint.hostname"].to_list() == ["pc-1.example.com"]


def test_addresses_of_a_name(tmp_path: Path, server: DnsServer) -> None:
    """All of them, IPv4 first, as an enrichment; nothing of the event is filled."""
    with enrichment(
        tmp_path, server, "forward", "fields: [src_endpoint.hostname]", f", as: at{PATIENT}"
    ) as (enricher, _):
        events = pl.DataFrame(
            {"src_endpoint.hostname": ["Both.Example", "none.example", "alone", "192.0.2.1"]}
        )
        enriched = enricher.apply(events)
        found = ["192.0.2.9", "192.0.2.10", "2001:db8::1"]
        element = json.loads(enriched["enrichments[at]:json"][0])
        assert element["data"] == {"addresses": found}
        assert enriched["@enrich.at.addresses"].to_list() == [",".join(found), None, None, None]
        assert "src_endpoint.ip" not in enriched.columns
        assert {name.lower() for name, _ in server.asked} == {"both.example.", "none.example."}


def test_the_first_attribute_that_hits_is_what_rules_see(tmp_path: Path, server: DnsServer) -> None:
    """With several attributes each has its element, and rules see the first one's columns."""
    server.records["2.2.0.192.in-addr.arpa.", "PTR"] = (300, ["pc-2.example."])
    fields = "fields: [src_endpoint.ip, dst_endpoint.ip]"
    with enrichment(tmp_path, server, fields=fields, more=PATIENT) as (enricher, _):
        events = pl.DataFrame(
            {
                "src_endpoint.ip": ["192.0.2.1", "192.0.2.99", None],
                "dst_endpoint.ip": ["192.0.2.2", "192.0.2.2", None],
            }
        )
        enriched = enricher.apply(events)
        assert enriched["@enrich.dns_reverse.hostname"].to_list() == [
            "pc-1.example.com",
            "pc-2.example",
            None,
        ]
        assert enriched["dst_endpoint.hostname"].to_list() == ["pc-2.example", "pc-2.example", None]
        assert enriched["enrichments[dns_reverse.dst_endpoint.ip]:json"].null_count() == 1


def test_what_goes_wrong_is_counted(
    tmp_path: Path, server: DnsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Time-outs, failures and what found no room in the queue are in /metrics."""
    server.silent.add(SILENT)
    server.failing.add(SERVFAIL)
    more = ", limits: {queue: 2, concurrency: 1, rate: 1000}"
    with enrichment(tmp_path, server, more=more) as (enricher, resolver):
        enricher.apply(sources("192.0.2.4"))
        until(lambda: resolver.counts["failures"] == 1)
        server.gate.clear()
        enricher.apply(sources(*(f"198.51.100.{number}" for number in range(10))))
        assert resolver.counts["dropped"] == 8
        text = shown(resolver)
    for line in (
        'northbound_lookups_total{enrichment="dns_reverse",result="dropped"} 8.0',
        'northbound_lookup_requests_total{enrichment="dns_reverse",outcome="failures"} 1.0',
    ):
        assert line in text
    assert "A look-up failed. enrichment=dns_reverse" in caplog.text
    with enrichment(tmp_path, server, timeout="300ms") as (enricher, resolver):
        enricher.apply(sources("192.0.2.3"))
        until(lambda: resolver.counts["timeouts"] == 1)
        text = shown(resolver)
    assert (
        'northbound_lookup_requests_total{enrichment="dns_reverse",outcome="timeouts"} 1.0' in text
    )


def shown(resolver: Resolver) -> str:
    """Its part of /metrics."""
    registry = CollectorRegistry()
    registry.register(LookupCollector([resolver]))
    return generate_latest(registry).decode()


def test_only_workers_ask(tmp_path: Path, server: DnsServer) -> None:
    """`northbound tap`, `test` and the like neither ask nor hold anything."""
    with enrichment(tmp_path, server, more=PATIENT) as (enricher, resolver):
        pass
    events = sources("192.0.2.1")
    started = time.monotonic()
    assert enricher.apply(events).equals(events)
    assert time.monotonic() - started < 30  # of a minute, if it was held
    assert resolver.size() == (0, 0)
    assert not server.asked
