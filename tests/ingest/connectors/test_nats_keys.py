"""Nkeys and credentials files, against a real NATS server that trusts nothing else."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.broker.server import EmbeddedKafka
from app.commands.ingest import agent_settings
from app.config import ConfigError, load
from app.ingest.connectors.nats_keys import KeyFileError, read_credentials, read_nkey
from tests.ingest.connectors.rig import Agent
from tests.ingest.peers import need, running, wait_for
from tests.ingest.rig import read_topic, values

nats = pytest.importorskip("nats")

ROLES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
"""Prefixes of nkeys: O, A and U."""


class Nkey:
    """An nkey made here: by its definition, not by the code under test."""

    def __init__(self, role: str) -> None:
        self._key = Ed25519PrivateKey.generate()
        prefix = ROLES[role]
        raw = self._key.private_bytes_raw()
        self.seed = _encoded(bytes([18 << 3 | prefix >> 5, (prefix & 31) << 3]) + raw)
        self.public = _encoded(bytes([prefix]) + self._key.public_key().public_bytes_raw())

    def jwt(self, subject: str, name: str, claims: dict[str, Any]) -> str:
        """A JWT about a key, signed by this one (docs.nats.io: JWTs)."""
        body = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject}
        body["nats"] = {"version": 2, **claims}
        digest = hashlib.new("sha512_256", json.dumps(body).encode()).digest()
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        parts = [_segment({"typ": "JWT", "alg": "ed25519-nkey"}), _segment(body)]
        signature = self._key.sign(".".join(parts).encode())
        return ".".join([*parts, base64.urlsafe_b64encode(signature).decode().rstrip("=")])


def _encoded(data: bytes) -> str:
    crc = 0
    for octet in data:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(data + crc.to_bytes(2, "little")).decode().rstrip("=")


def _segment(value: dict[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _credentials(jwt: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "NKEY Seed printed below can be used to sign and prove identity.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _by_nkey(folder: Path) -> tuple[str, dict[str, str], Nkey]:
    """A server that knows the user's public key; the file with its seed."""
    user = Nkey("user")
    (folder / "user.nk").write_text(user.seed + "\n")
    return (
        f"authorization {{ users: [ {{ nkey: {user.public} }} ] }}",
        {"nkey_file": "user.nk"},
        user,
    )


def _by_credentials(folder: Path) -> tuple[str, dict[str, str], Nkey]:
    """A server that trusts an operator, whose account has JetStream; a credentials file."""
    operator, account, system, user = (
        Nkey(role) for role in ("operator", "account", "account", "user")
    )
    every = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage"), -1
    )
    limits = {**every, "disk_storage": -1, "streams": -1, "consumer": -1, "wildcards": True}
    trust = operator.jwt(
        operator.public, "ops", {"type": "operator", "system_account": system.public}
    )
    accounts = {
        account.public: operator.jwt(
            account.public, "audit", {"type": "account", "limits": limits}
        ),
        system.public: operator.jwt(
            system.public,
            "sys",
            {"type": "account", "limits": {**every, "mem_storage": 0, "wildcards": True}},
        ),
    }
    given = account.jwt(
        user.public,
        "northbound",
        {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}},
    )
    (folder / "user.creds").write_text(_credentials(given, user.seed))
    preload = "\n".join(f"  {name}: {jwt}" for name, jwt in accounts.items())
    conf = f"operator: {trust}\nresolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
    return conf, {"credentials_file": "user.creds"}, user


@pytest.mark.broker
@pytest.mark.parametrize("way", [_by_nkey, _by_credentials], ids=["nkey", "credentials"])
def test_a_server_that_trusts_a_key(
    kafka: EmbeddedKafka,
    create_topic: Callable[..., str],
    tmp_path: Path,
    way: Callable[[Path], tuple[str, dict[str, str], Nkey]],
) -> None:
    """Every message arrives; another user's key gets nothing; the seed is nowhere to be seen."""
    need("nats-server")
    authorization, keys, user = way(tmp_path)
    (tmp_path / "nats.conf").write_text(
        f'listen: "127.0.0.1:0"\nports_file_dir: "{tmp_path}"\n'
        f'jetstream {{ store_dir: "{tmp_path / "jetstream"}" }}\n{authorization}\n'
    )
    source = create_topic("raw.nats").removeprefix("raw.")
    with running(["nats-server", "-c", str(tmp_path / "nats.conf")], tmp_path / "nats.log"):
        wait_for(lambda: _address(tmp_path), "the server's port")
        server = _address(tmp_path)
        common = {"type": "nats", "servers": [server], "stream": "AUDIT", "subject": "audit.>"}
        agent = Agent(tmp_path, kafka.bootstrap, source, {**common, **keys})
        (settings,) = agent_settings(load(agent.file)).connectors
        assert settings.files == (tmp_path / next(iter(keys.values())),)
        asyncio.run(_publish(server, settings, 500))
        try:
            agent.start()
            wait_for(lambda: agent.ledgers()[0]["published"] == 500, "all messages")
            agent.stop()
            own = tmp_path / next(iter(keys.values()))
            right = own.read_text()
            own.write_text(right.replace(user.seed, Nkey("user").seed))
            agent.start()
            wait_for(lambda: agent.ledgers()[0]["faults"].get("session"), "a refusal")
            agent.stop()
        finally:
            agent.end()
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 500))
    assert sorted(found) == [b"message %04d" % number for number in range(500)]
    assert user.seed not in agent.log.read_text() + repr(settings)


def _address(folder: Path) -> str:
    """What the server says of its port; nothing before the whole of it is in the file."""
    for file in folder.glob("*.ports"):
        with suppress(ValueError):
            return str(json.loads(file.read_text())["nats"][0])
    return ""


async def _publish(server: str, settings: Any, count: int) -> None:
    key = settings.user_key
    client = nats.aio.client.Client()
    client._auth_configured, client._public_nkey = True, key.public
    proof = {"user_jwt_cb": key.jwt.encode} if key.jwt else {}
    await client.connect(server, signature_cb=key.sign, connect_timeout=60, **proof)
    stream = client.jetstream(timeout=60)
    await stream.add_stream(name="AUDIT", subjects=["audit.>"])
    for number in range(count):
        await stream.publish("audit.nas", b"message %04d" % number)
    await client.close()


def test_seeds_are_read_as_they_are_defined(tmp_path: Path) -> None:
    """The public key of a seed is the one it was made with; blank lines do not matter."""
    user = Nkey("user")
    file = tmp_path / "user"
    file.write_text(f"\n{user.seed}\r\n{user.public}\n")
    assert read_nkey(file).public == user.public
    file.write_text(_credentials("a.b.c", user.seed))
    found = read_credentials(file)
    assert (found.public, found.jwt) == (user.public, "a.b.c")
    assert user.seed not in repr(found)
    assert "a.b.c" not in repr(found)


def test_files_that_are_wrong_are_named_without_their_secret(tmp_path: Path) -> None:
    """A damaged seed, an account's, no seed, no block: what is expected, with file and key."""
    seed = Nkey("user").seed
    damaged = f"{seed[:20]}{'A' if seed[20] != 'A' else 'B'}{seed[21:]}"
    for text, told in (
        (damaged, "damaged"),
        (Nkey("account").seed, "not that of a user"),
        ("", "expected one line with a seed"),
        (seed[:-1] + "1", "not base32"),
    ):
        (tmp_path / "key").write_text(text)
        with pytest.raises(KeyFileError, match=told) as caught:
            read_nkey(tmp_path / "key")
        assert seed[:20] not in str(caught.value)
    (tmp_path / "key").write_text(seed)
    agent = Agent(
        tmp_path,
        "127.0.0.1:1",
        "nas",
        {
            "type": "nats",
            "servers": ["nats://127.0.0.1:1"],
            "stream": "S",
            "subject": ">",
            "credentials_file": "key",
        },
    )
    with pytest.raises(ConfigError) as refused:
        agent_settings(load(agent.file))
    assert "connectors[0].credentials_file: " in str(refused.value)
    assert "expected a block NATS USER JWT" in str(refused.value)
