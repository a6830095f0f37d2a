"""HTTP receivers, killed and started again: nothing lost, what they refuse kept with its reason."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.broker.server import EmbeddedKafka
from tests.deliver.http_process import HttpProcess
from tests.deliver.rig import KEYS, Tenant, delivering, record, whole_and_in_order
from tests.ingest.peers import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.kill]

TOKEN = "s3cret-t0ken"


class HttpReceiver(HttpProcess):
    """One that takes batches of records."""

    def _lines(self, name: str) -> list[bytes]:
        file = self.folder / name
        return file.read_bytes().split(b"\n")[:-1] if file.exists() else []

    def values(self) -> list[bytes]:
        """What it has taken, without the names of records."""
        return [line[line.index(b"{") :] for line in self._lines("received")]

    def requests(self) -> list[tuple[int, float]]:
        """Status and moment of each."""
        found = [line.split() for line in self._lines("requests")]
        return [(int(status), float(moment)) for status, moment in found]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[HttpReceiver]:
    """One that is not started, and gone behind the test."""
    made = HttpReceiver(tmp_path / "receiver")
    yield made
    made.kill()


def refused(tenant: Tenant) -> list[dict[str, Any]]:
    """What was kept of the delivery's records."""
    file = tenant.config.state / "refused" / "siem.ndjson"
    assert file.stat().st_mode & 0o777 == 0o600
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


POISON = [b'{"host":"h1","n":-1,"text":"poison"}', b'{"host":"h2","n":-2,"text":"poison"}']
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "http-lines": ({"type": "http", "headers": {"X-Tenant": "acme"}}, "400 a record is not"),
    "http-array": ({"type": "http", "body": "array", "gzip": False}, "400 a record is not"),
    "elastic": ({"type": "elastic", "index": "audit"}, "400 document_parsing_exception: poison"),
    "splunk": ({"type": "splunk", "sourcetype": "ocsf"}, "400 {"),
    "azure": ({"type": "azure", "rule": "dcr-1", "stream": "Custom-A"}, "400 a record is not"),
}


@pytest.mark.parametrize("way", WAYS)
def test_receiver_killed(
    way: str,
    kafka: EmbeddedKafka,
    unique: Callable[[str], str],
    tmp_path: Path,
    receiver: HttpReceiver,
) -> None:
    """The server is killed with SIGKILL while records come, and started again: none is lost, a
    host's stay in order, and exactly those that it refuses are kept with its reason."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    to, reason = WAYS[way]
    to = {**to, "addresses": [receiver.address], "batch_records": 300, "batch_wait": "100ms"}
    to["token_file"] = "token"
    scheme = {"elastic": "ApiKey", "splunk": "Splunk"}.get(way, "Bearer")
    (receiver.folder / "token").write_text(f"{scheme} {TOKEN}")
    tenant = Tenant(kafka, tmp_path, unique("http"), [{"name": "siem", "to": to}])
    count = 3000
    receiver.start()
    with delivering(tenant.config) as made:
        tenant.write([*map(record, range(count // 2)), POISON[0]])
        wait_for(lambda: len(receiver.values()) > count // 10, "some records")
        receiver.kill()
        receiver.start()
        tenant.write([*map(record, range(count // 2, count - 5)), POISON[1]])
        tenant.write(map(record, range(count - 5, count)))
        wait_for(lambda: len(set(receiver.values())) >= count, "all records")
        wait_for(lambda: made[0].totals().lag == 0, "no lag")
        again = whole_and_in_order(receiver.values(), count)
        kept = refused(tenant)
        assert {each["value"].encode() for each in kept} == set(POISON)
        assert all(each["reason"].startswith(reason) for each in kept)
        assert {each["key"] for each in kept} == {"other"}
        totals = made[0].totals()
        assert totals.refused >= len(POISON)
        assert totals.delivered >= count
        if way == "elastic":
            assert again == 0


def test_too_large(
    kafka: EmbeddedKafka,
    unique: Callable[[str], str],
    tmp_path: Path,
    receiver: HttpReceiver,
) -> None:
    """A batch that is too large for the receiver (413) goes in parts; nothing of it is refused."""
    (tmp_path / "token").write_text(TOKEN)
    to = {"type": "azure", "rule": "dcr-1", "stream": "Custom-A", "batch_size": "8MiB"}
    to |= {"addresses": [receiver.address], "token_file": "token"}
    to |= {"batch_records": 10_000, "batch_wait": "30s"}  # all of them, however they are fetched
    tenant = Tenant(kafka, tmp_path, unique("http"), [{"name": "siem", "to": to}])
    tenant.write(map(record, range(10_000)))
    receiver.start()
    with delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().delivered == 10_000, "all records")
    assert 413 in [status for status, _ in receiver.requests()]
    assert whole_and_in_order(receiver.values(), 10_000) == 0
    assert made[0].totals().refused == 0


def test_waits_as_long_as_told(
    kafka: EmbeddedKafka,
    unique: Callable[[str], str],
    tmp_path: Path,
    receiver: HttpReceiver,
) -> None:
    """429 with Retry-After: the receiver is left alone for so long, then has everything."""
    (receiver.folder / "busy").write_text("3")
    to = {"type": "http", "addresses": [receiver.address]}
    to |= {"batch_records": KEYS, "batch_wait": "30s"}  # one request, however they are fetched
    tenant = Tenant(kafka, tmp_path, unique("http"), [{"name": "siem", "to": to}])
    tenant.write(map(record, range(KEYS)))
    receiver.start()
    with delivering(tenant.config) as made:
        wait_for(lambda: made[0].totals().delivered == KEYS, "all records")
        assert made[0].totals().retried == KEYS
    (first, begun), (second, ended) = receiver.requests()
    assert (first, second) == (429, 200)
    assert ended - begun >= 3
    assert whole_and_in_order(receiver.values(), KEYS) == 0


def test_wrong_token(
    kafka: EmbeddedKafka,
    unique: Callable[[str], str],
    tmp_path: Path,
    receiver: HttpReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """401 is no fault of records: they wait until the token in its file is right. No token is in
    the log, though the receiver answers with what it was sent."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "token").write_text("wr0ng-t0ken")
    (receiver.folder / "token").write_text(f"Bearer {TOKEN}")
    to = {"type": "http", "addresses": [receiver.address], "token_file": "token"}
    to |= {"batch_wait": "50ms"}
    tenant = Tenant(kafka, tmp_path, unique("http"), [{"name": "siem", "to": to}])
    tenant.write(map(record, range(KEYS)))
    receiver.start()
    with delivering(tenant.config) as made:
        wait_for(lambda: [each for each, _ in receiver.requests()].count(401) > 1, "refusals")
        (tmp_path / "token").write_text(TOKEN)
        wait_for(lambda: made[0].totals().delivered == KEYS, "all records")
    assert whole_and_in_order(receiver.values(), KEYS) == 0
    assert not (tenant.config.state / "refused").exists()
    assert "401" in caplog.text
    assert "<secret>" in caplog.text
    assert "wr0ng-t0ken" not in caplog.text + repr(vars(made[0].settings.make))
    assert TOKEN not in caplog.text


def test_client_credentials(
    kafka: EmbeddedKafka,
    unique: Callable[[str], str],
    tmp_path: Path,
    receiver: HttpReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Azure by an application: a secret that is wrong loses nothing; once it is right a token is
    asked for, and another when that is taken for no good any more. None of them is in the log."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "secret").write_text("wr0ng-secret")
    (receiver.folder / "token").write_text("Bearer none yet")
    to = {"type": "azure", "rule": "dcr-1", "stream": "Custom-A", "addresses": [receiver.address]}
    to |= {"directory": "dir-1", "client_id": "app-1", "client_secret_file": "secret"}
    to |= {"login": receiver.address, "batch_wait": "50ms"}
    tenant = Tenant(kafka, tmp_path, unique("http"), [{"name": "siem", "to": to}])
    tenant.write(map(record, range(KEYS)))
    receiver.start()
    with delivering(tenant.config) as made:
        wait_for(lambda: [each for each, _ in receiver.requests()].count(401) > 1, "refusals")
        (tmp_path / "secret").write_text(TOKEN)
        wait_for(lambda: made[0].totals().delivered == KEYS, "the first records")
        first = (receiver.folder / "token").read_text()
        (receiver.folder / "token").write_text("Bearer revoked")
        tenant.write(map(record, range(KEYS, 2 * KEYS)))
        wait_for(lambda: made[0].totals().delivered == 2 * KEYS, "the others")
    assert whole_and_in_order(receiver.values(), 2 * KEYS) == 0
    assert "no token: 401 invalid_client" in caplog.text
    shown = caplog.text + repr(vars(made[0].settings.make)) + repr(made[0].settings)
    for secret in ("wr0ng-secret", TOKEN, first.removeprefix("Bearer ")):
        assert secret not in shown
