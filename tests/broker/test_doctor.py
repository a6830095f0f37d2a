"""The bundle's doctor names what is in the way, on a real broker, for each thing that can be."""

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from app.broker import certificates
from app.broker.server import EmbeddedKafka
from tests.broker.bundles import bundle_of
from topology.topics import Names

pytestmark = pytest.mark.broker

NAMES = Names("doctor.")


@pytest.fixture
def folder(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Path:
    """The bundle of a tenant with one alert and no event."""
    tenant = unique("tenant")
    made = bundle_of(kafka, NAMES, tenant, tmp_path)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(NAMES.alerts(tenant), b"{}")
    assert producer.flush(60) == 0
    return made


def change(folder: Path, **kafka: object) -> None:
    """Other values in northbound.json; underscores stand for dots."""
    file = folder / "northbound.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["topics"] = kafka.get("topics", content["topics"])
    values = {key.replace("_", "."): value for key, value in kafka.items() if key != "topics"}
    content["kafka"] |= values
    file.write_text(json.dumps(content), encoding="utf-8")


def doctor(folder: Path) -> tuple[int, dict[str, tuple[bool, str]]]:
    done = subprocess.run(
        [sys.executable, "-I", folder / "doctor.py", "--json"],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        cwd="/",
        check=False,
    )
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {each["check"]: (each["ok"], each["said"]) for each in lines}


def failed(found: dict[str, tuple[bool, str]]) -> dict[str, str]:
    return {check: said for check, (good, said) in found.items() if not good}


def test_all_is_well(folder: Path, kafka: EmbeddedKafka) -> None:
    """Every check passes and says what it saw; nothing is read away."""
    for _ in range(2):
        status, found = doctor(folder)
        assert (status, failed(found)) == (0, {})
        assert found["records of alerts"][1].startswith("1 read")
        assert found["records of events"][1] == "none yet"
        group = next(said for check, (_, said) in found.items() if check.startswith("group"))
        assert "has read nothing yet" in group
        assert f"TLS {kafka.northbound}" in found


def test_what_is_in_the_way(folder: Path, tmp_path: Path) -> None:
    """Of each thing that is wrong, one check says so and what to change, and no other fails."""
    content = json.loads((folder / "northbound.json").read_text(encoding="utf-8"))
    port = content["kafka"]["bootstrap.servers"].rpartition(":")[2]
    other = certificates.ensure(tmp_path / "other", [], dt.datetime.now(dt.UTC)).ca
    (folder / "other.pem").write_bytes(other.read_bytes())
    alerts = content["topics"]["alerts"]
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"sasl_password": "wrong"}, "login", "ask for a new bundle"),
        ({"bootstrap_servers": "no-such-host.invalid:9094"}, "name no-such-host", "Add it to DNS"),
        ({"bootstrap_servers": "localhost:1"}, "port localhost:1", "is it up?"),
        ({"bootstrap_servers": f"127.1:{port}"}, "TLS 127.1", "for another name"),
        ({"ssl_ca_location": "other.pem"}, "TLS localhost", "is not the CA of this server"),
        ({"topics": {"alerts": f"{alerts}-else"}}, "topic", "this user may not read it"),
        ({"group_id": "somebody-else.siem"}, "group somebody-else", "begins as this one does"),
    ]

    def examined(number: int) -> tuple[int, dict[str, tuple[bool, str]]]:
        copy = shutil.copytree(folder, tmp_path / f"case-{number}")
        change(copy, **cases[number][0])
        return doctor(copy)

    # Most of a doctor's time is waiting for an answer that does not come.
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(examined, range(len(cases))))
    for (wrong, check, advice), (status, found) in zip(cases, results, strict=True):
        problems = failed(found)
        assert status == 1, wrong
        assert [name.startswith(check) for name in problems] == [True], problems
        assert advice in next(iter(problems.values())), problems


def test_a_password_that_others_may_read(folder: Path) -> None:
    """It is said, with the command that mends it."""
    (folder / "northbound.json").chmod(0o644)
    status, found = doctor(folder)
    assert status == 1
    assert "chmod 600" in failed(found)["northbound.json"]
