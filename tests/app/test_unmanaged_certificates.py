"""Certificates of tenants on a cluster that others manage: what is kept here, and the commands for
these others. Nothing of it needs a cluster that answers."""

import datetime as dt
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from cryptography import x509
from typer.testing import CliRunner

from app import certificate_trial, logins
from app.broker import rights
from app.broker.client_certificates import held, waiting
from app.cli import app
from app.config import Config, load
from tests.broker.authorities import Authority
from topology.topics import Names

USER = "CN=eu.acme/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration whose tenant has its first certificate."""
    configure(tmp_path)
    logins.keep(load(tmp_path / "northbound.yaml"), "acme")
    return tmp_path


def configure(folder: Path, login: str = "certificate", **certificates: str) -> None:
    external = {
        "bootstrap": "127.0.0.1:1",
        "northbound": "feed.example.com:9094",
        "certificates": {"servers": "feed.example.com:9194", **certificates},
        "manage": False,
    }
    content = {
        "version": 1,
        "kafka": {"external": external, "topic_prefix": "eu."},
        "sources": {"qumulo": {"format": "qumulo"}},
        "tenants": {"acme": {"sources": ["qumulo"], "login": login}},
    }
    (folder / "northbound.yaml").write_text(yaml.safe_dump(content))


def loaded(folder: Path) -> Config:
    return load(folder / "northbound.yaml")


def run(folder: Path, *arguments: str) -> Result:
    config = str(folder / "northbound.yaml")
    return CliRunner().invoke(app, ["tenants", *arguments, "--config", config])


def users(folder: Path) -> list[str]:
    """What the brokers call each certificate that is kept, the oldest first."""
    found = held(loaded(folder).credentials, "acme")
    return [rights.user_name(loaded(folder).names, each.login) for each in found]


def told(result: Result) -> list[tuple[str, ...]]:
    """Of each command, what it does to whom: tool, add or remove, user."""
    found = []
    for line in result.stdout.splitlines():
        if not line.startswith(("kafka-", "sed ")):
            continue
        words = shlex.split(line)
        tool = next(each for each in words if each.endswith(".sh"))
        change = next(each for each in words if each.startswith(("--add", "--remove", "--delete")))
        options = ("--allow-principal", "--deny-principal", "--entity-name")
        (user,) = [words[at + 1] for at, each in enumerate(words) if each in options]
        found.append((tool, change, user.removeprefix("User:")))
    return found


def given(user: str) -> list[tuple[str, ...]]:
    """Rights on topics and groups, and a quota."""
    acls = ("kafka-acls.sh", "--add", user)
    return [acls, acls, ("kafka-configs.sh", "--add-config", user)]


def taken(*of: str) -> list[tuple[str, ...]]:
    """The same and two pauses."""
    acls = [("kafka-acls.sh", "--remove", user) for user in of]
    return [
        line
        for acl, user in zip(acls, of, strict=True)
        for line in [*[acl] * 4, ("kafka-configs.sh", "--delete-config", user)]
    ]


def bundled(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "b" / "client.pem").read_bytes())


def rotated(folder: Path, *arguments: str) -> Result:
    result = run(folder, "rotate", "acme", *arguments, "--out", str(folder / "b"))
    assert result.exit_code == 0, result.output
    return result


def test_a_certificate_is_issued_here(folder: Path) -> None:
    """With Northbound's own CA, once; the bundle names the listener for certificates; the owner of
    the cluster is told what that has to trust, and what to call the certificate."""
    config = loaded(folder)
    before = users(folder)
    logins.keep(config, "acme")
    assert users(folder) == before
    (user,) = before
    assert user.startswith(USER)
    assert run(folder, "bundle", "acme", "--out", str(folder / "b")).exit_code == 0
    assert bundled(folder).subject.rfc4514_string() == user
    text = (folder / "b" / "client.properties").read_text()
    assert "bootstrap.servers=feed.example.com:9194\n" in text
    assert "security.protocol=SSL\n" in text
    said = list(certificate_trial.listener(config, "acme"))
    assert all(line.startswith("# ") for line in said)
    for part in ("feed.example.com:9194", str(folder / "data/tls/clients-ca.pem"), user):
        assert part in "\n".join(said)
    configure(folder, login="password")
    assert list(certificate_trial.listener(loaded(folder), "acme")) == []


def test_rotations(folder: Path) -> None:
    """The commands let the new certificate in before they shut the old ones out, at once or with
    --finish; the files of those that are over go. No command holds a key."""
    (first,) = users(folder)
    begun = rotated(folder, "--overlap")
    _, second = users(folder)
    assert told(begun) == given(second)
    assert bundled(folder).subject.rfc4514_string() == second
    assert run(folder, "rotate", "acme", "--overlap").exit_code == 1
    finished = rotated(folder, "--finish")
    assert (told(finished), users(folder)) == (taken(first), [second])
    assert run(folder, "rotate", "acme", "--finish").exit_code == 1
    at_once = rotated(folder)
    (third,) = users(folder)
    assert told(at_once) == [*given(third), *taken(second)]
    assert "PRIVATE" not in begun.stdout + finished.stdout + at_once.stdout


def test_from_a_password_and_back(folder: Path) -> None:
    """While both are there neither is forgotten; --finish has the commands that end the other."""
    config = loaded(folder)
    (user,) = users(folder)
    configure(folder, login="password")
    logins.keep(loaded(folder), "acme")
    ended = rotated(folder, "--finish")
    assert (told(ended), users(folder)) == (taken(user), [])
    configure(folder)
    logins.keep(config, "acme")
    ended = rotated(folder, "--finish")
    assert told(ended) == [("kafka-configs.sh", "--delete-config", "eu.acme")]
    assert [file.suffix for file in config.credentials.iterdir()] == [".pem"]


@pytest.mark.parametrize(
    ("arguments", "change", "times"),
    [(["pause", "acme", "--yes"], "--add", 2), (["resume", "acme"], "--remove", 2)],
)
def test_pauses(folder: Path, arguments: Sequence[str], change: str, times: int) -> None:
    """They are for the tenant's user and all its certificates, also while two work."""
    rotated(folder, "--overlap")
    result = run(folder, *arguments)
    assert result.exit_code == 2, result.output
    wanted = [("kafka-acls.sh", change, user) for user in ("eu.acme", *users(folder))]
    assert told(result) == [line for line in wanted for _ in range(times)]


def test_a_removal(folder: Path) -> None:
    """Commands end the rights of all its users, and no password that it has not; keys go."""
    content = yaml.safe_load((folder / "northbound.yaml").read_text())
    own = folder / "tenants.d" / "acme.yaml"
    own.parent.mkdir()
    own.write_text(yaml.safe_dump(content["tenants"].pop("acme")))
    (folder / "northbound.yaml").write_text(yaml.safe_dump(content))
    (user,) = users(folder)
    result = run(folder, "remove", "acme", "--yes")
    assert result.exit_code == 2, result.output
    assert told(result) == taken("eu.acme", user)
    assert list((folder / "data" / "credentials").iterdir()) == []


def test_others_sign(folder: Path) -> None:
    """`rotate` makes a request, changes nothing and says what to do; with the certificate that was
    signed it goes on. The certificate of somebody else's choice is not taken."""
    now = dt.datetime.now(dt.UTC)
    (first,) = users(folder)
    refused = run(folder, "rotate", "acme", "--certificate", str(folder / "none.pem"))
    assert (refused.exit_code, "takes no certificate of others" in refused.stderr) == (1, True)
    configure(folder, issued_by="others")
    for _ in range(2):
        asked = run(folder, "rotate", "acme", "--overlap")
        request = waiting(loaded(folder).credentials, "acme")
        assert request is not None
        assert asked.exit_code == 2, asked.output
        assert f"Have {request} signed" in asked.stdout
        assert "`northbound tenants rotate acme --certificate FILE`" in asked.stdout
        assert users(folder) == [first]
    assert list(logins.told(loaded(folder), "acme", now)) == asked.stdout.splitlines()
    assert run(folder, "rotate", "acme", "--finish", "--certificate", "x").exit_code == 2
    signed = folder / "signed.pem"
    signed.write_bytes(Authority("Example", now=now).sign(request, now=now))
    begun = rotated(folder, "--overlap", "--certificate", str(signed))
    _, second = users(folder)
    assert told(begun) == given(second)
    assert bundled(folder).subject.rfc4514_string() == second
    assert waiting(loaded(folder).credentials, "acme") is None
    assert told(rotated(folder, "--finish")) == taken(first)


@pytest.mark.parametrize("form", ["{}", "CN={}", "CN={},O=Example"])
def test_whose_certificate_a_user_has(form: str) -> None:
    """A user of the form that the brokers make is the tenant's, and no other tenant's whose name
    begins as its does."""
    names = Names("eu.", form)
    user = rights.user_name(names, "acme/1-0a1b2c3d")
    assert user == form.replace("{}", "eu.acme/1-0a1b2c3d")
    assert rights.user_name(names, "acme") == "eu.acme"
    for who, its in ((user, True), ("eu.acme", True), (form.replace("{}", "eu.acme/"), False)):
        assert rights.is_of(names, "acme", f"User:{who}") is its
    for other in ("acme-2", "acm", "eu.acme"):
        assert not rights.is_of(names, other, f"User:{user}")
