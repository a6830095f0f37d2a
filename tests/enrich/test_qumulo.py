"""Identities and paths, asked of a local HTTPS server with Qumulo Core's calls."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from app.config import ConfigError, load
from app.live_lookups import Resolver
from app.lookup_thread import Background, resolvers_of
from app.planning import build_plan
from tests.enrich.qumulo_core import TOKEN, QumuloCore, qumulo_core
from tests.topology.deployment import START, line
from topology.enrich.looked_up import LookedUp
from topology.events import EventsSubTopology
from topology.plan import Plan
from topology.testing import Step, TopologyTestDriver

CONFIG = """\
version: 1
kafka: {{embedded: {{}}}}
sources: {{q: {{format: qumulo}}}}
tenants: {{acme: {{sources: [q]}}}}
enrich:
- qumulo: {what}
  field: {field}
  url: {url}
  token_file: token
  ca_file: {ca}
  account: 'AD\\northbound'
  addresses: [10.0.0.7, 2001:db8::7]
  timeout: 1m
  wait: 5s
{more}
"""
SID = "S-1-5-21-1-2-3-500"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[QumuloCore]:
    with qumulo_core(tmp_path / "certificates") as running:
        running.paths = {"7": "/data/a.txt", "8": "/data/b.txt"}
        yield running


def planned(
    folder: Path, core: QumuloCore, what: str, field: str, ca: str | None = None, more: str = ""
) -> Plan:
    token = folder / "token"
    if not token.exists():
        token.touch(0o600)
        token.write_text(f"{TOKEN}\n", encoding="ascii")
    file = folder / "northbound.yaml"
    text = CONFIG.format(what=what, field=field, url=core.url, ca=ca or core.ca, more=more)
    file.write_text(text, encoding="utf-8")
    return build_plan(load(file), {"raw.q": "AAAAAAAAAAA"})


@contextmanager
def asking(plan: Plan) -> Iterator[tuple[LookedUp, Resolver]]:
    (enricher,) = plan.enrichers
    assert isinstance(enricher, LookedUp)
    (resolver,) = resolvers_of([enricher])
    # A busy machine may need longer for an answer than may be configured.
    resolver._limits = replace(resolver._limits, wait=60.0)
    background = Background([resolver])
    background.start()
    try:
        yield enricher, resolver
    finally:
        background.stop()


def test_identities(tmp_path: Path, core: QumuloCore) -> None:
    """Found by SID, with its groups, and asked for once; unknown ones, and what is none, are not
    asked for again."""
    events = pl.DataFrame({"actor.user.uid": [SID, "S-1-5-9", SID, None]})
    with asking(planned(tmp_path, core, "identity", "actor.user.uid")) as (enricher, _):
        for _ in range(2):
            enriched = enricher.apply(events)
    element = json.loads(enriched["enrichments[qumulo_identity]:json"][0])
    assert element["provider"].startswith(f"qumulo {core.url}@20")
    assert element["data"] == {
        "name": "AD\\eve",
        "domain": "ACTIVE_DIRECTORY",
        "sid": SID,
        "auth_id": "4295000000",
        "type": "user",
        "groups": ["AD\\staff", "20"],
    }
    groups = enriched["@enrich.qumulo_identity.groups"].to_list()
    assert groups == ["AD\\staff,20", None, "AD\\staff,20", None]
    assert sorted(path for path, _ in core.requests) == [
        "/v1/identity/expand",
        "/v1/identity/find",
        "/v1/identity/find",
    ]


def test_what_a_value_is(tmp_path: Path, core: QumuloCore) -> None:
    """By its form, or as `by` says."""
    for by, values, asked in (
        ("", [SID, "1000", "AD\\eve"], [{"name": "AD\\eve"}, {"sid": SID}, {"uid": 1000}]),
        ("  by: auth_id", ["4295000000", "eve"], [{"auth_id": "4295000000"}]),
        ("  by: gid", ["20"], [{"gid": 20}]),
    ):
        core.requests.clear()
        plan = planned(tmp_path, core, "identity", "actor.user.uid", more=by)
        with asking(plan) as (_, resolver):
            resolver.lookup(values)
        found = [body for path, body in core.requests if path == "/v1/identity/find"]
        assert sorted(found, key=str) == asked


def test_paths_of_ids(tmp_path: Path, core: QumuloCore) -> None:
    """Many in one request; a file that is gone does not take the others' paths with it."""
    many = {str(number): f"/data/{number}" for number in range(100, 250)}
    core.paths |= many
    plan = planned(tmp_path, core, "path", "file.uid")
    with asking(plan) as (enricher, _):
        enriched = enricher.apply(pl.DataFrame({"file.uid": [*many]}))
        assert enriched["@enrich.qumulo_path.path"].to_list() == [*many.values()]
        assert len(core.requests) <= 150 / 100 + 16
        core.requests.clear()
        events = pl.DataFrame({"file.uid": ["7", "404", "8", "no id"]})
        enriched = enricher.apply(events)
        paths = ["/data/a.txt", None, "/data/b.txt", None]
        assert enriched["@enrich.qumulo_path.path"].to_list() == paths
        asked = len(core.requests)
        assert enricher.apply(events).equals(enriched)
        assert len(core.requests) == asked


def test_an_exchanged_token_is_taken_up(
    tmp_path: Path, core: QumuloCore, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused token is read again from its file; neither is ever told."""
    plan = planned(tmp_path, core, "path", "file.uid", more="  limits: {negative_ttl: 1ms}")
    core.token = "access-v1:another"
    with asking(plan) as (enricher, resolver):
        assert resolver.lookup(["7"]) == [None]
        assert (resolver.counts["failures"], core.refused) == (1, 1)
        (tmp_path / "token").write_text(core.token, encoding="ascii")
        resolver.lookup(["8"])
        assert resolver.lookup(["7"]) != [None]
        shown = repr(vars(resolver._asker)) + repr(enricher) + caplog.text
    assert "status 401" in caplog.text
    assert "access-v1" not in shown


def test_no_certificate_and_no_redirect_is_trusted(
    tmp_path: Path, core: QumuloCore, caplog: pytest.LogCaptureFixture
) -> None:
    """A server of another CA gets no token; a redirect does not take it elsewhere."""
    with qumulo_core(tmp_path / "others") as other:
        plan = planned(tmp_path, core, "path", "file.uid", ca=str(other.ca))
        with asking(plan) as (_, resolver):
            assert resolver.lookup(["7"]) == [None]
        assert (core.requests, core.refused) == ([], 0)
        assert "CertificateError" in caplog.text
        core.redirect = f"{other.url}/v1/files/resolve"
        with asking(planned(tmp_path, core, "path", "file.uid")) as (_, resolver):
            assert resolver.lookup(["7"]) == [None]
        assert (other.requests, other.refused) == ([], 0)


def test_our_own_look_ups_are_filtered_and_counted(tmp_path: Path, core: QumuloCore) -> None:
    """Only what a look-up does, by its account, from its addresses, by REST; whatever else somebody
    does with the token, or the account, stays an event."""
    plan = planned(tmp_path, core, "path", "file.uid")
    driver = TopologyTestDriver(
        [Step(lambda: EventsSubTopology(plan), ["raw.q"])],
        partitions={"matches": plan.matches_partitions},
    )
    plain = line(START, "AD\\northbound", "fs_read_metadata").replace(b",smb2,", b",api,")
    assert plain.count(b"10.0.0.7") == 1
    others = [
        plain.replace(b"10.0.0.7", b"10.0.0.8"),
        plain.replace(b"AD\\northbound", b"AD\\eve"),
        plain.replace(b"fs_read_metadata", b"fs_read_data"),
        plain.replace(b",api,", b",smb2,"),
    ]
    ours = [plain, plain.replace(b"10.0.0.7", b"2001:db8::7")]
    for number, text in enumerate([*ours, *others]):
        driver.pipe("raw.q", text, timestamp=START + number)
    driver.run()
    events = [json.loads(each.value or b"") for each in driver.read("northbound.acme.events")]
    assert [event["raw_data"].encode() for event in events] == others
    assert not driver.read("dead-letters")
    assert driver.counts["filtered"] == 2
    named = [count for name, count in driver.counts.items() if "qumulo-look-ups" in name]
    assert named == [2]


@pytest.mark.parametrize(
    ("mode", "text", "told"),
    [
        (0o644, TOKEN, "token_file: saw mode 0644 of {token}, expected 0600"),
        (0o600, " \n", "token_file: {token} holds no access token"),
        (0o600, f"{TOKEN}\n{TOKEN}", "token_file: {token} holds no access token"),
    ],
)
def test_a_token_file_that_cannot_be_used(
    tmp_path: Path, core: QumuloCore, mode: int, text: str, told: str
) -> None:
    """It stops the start with its line, and is not told."""
    token = tmp_path / "token"
    token.write_text(text, encoding="ascii")
    token.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, core, "path", "file.uid")
    (problem,) = caught.value.problems
    assert f"northbound.yaml:9: enrich[0].{told.format(token=token)}" in problem
    assert TOKEN not in problem


def test_the_environment_holds_the_token(
    tmp_path: Path, core: QumuloCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`token_env` names the variable; an empty one stops the start."""
    text = CONFIG.format(what="path", field="file.uid", url=core.url, ca=core.ca, more="")
    file = tmp_path / "northbound.yaml"
    file.write_text(text.replace("token_file: token", "token_env: NAS_TOKEN"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"token_env: the environment's NAS_TOKEN holds no"):
        build_plan(load(file), {})
    monkeypatch.setenv("NAS_TOKEN", TOKEN)
    with asking(build_plan(load(file), {})) as (_, resolver):
        assert resolver.lookup(["7"]) != [None]
