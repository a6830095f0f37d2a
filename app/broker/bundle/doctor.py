#!/usr/bin/env python3
"""Say why a Northbound feed cannot be read from here, with nothing but this folder.

    pip install confluent-kafka
    python3 doctor.py

Each line is a check: its outcome, what it is about and, where it failed, what to change. The status
is 0 if all is well. Nothing is read away: no offset is committed.
"""

import argparse
import json
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

try:
    import confluent_kafka
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
except ModuleNotFoundError:
    sys.exit(f"confluent-kafka is not there: {sys.executable} -m pip install confluent-kafka")

TIMEOUT_S = 10.0
"""For a connection."""
ANSWER_S = 30.0
"""For an answer of a broker that is there: it may be busy, or make a topic of its own first."""
LOOK_S = 3.0
"""For one of the questions of which a refusal is heard elsewhere."""
REFUSALS = (KafkaError._AUTHENTICATION, KafkaError.GROUP_AUTHORIZATION_FAILED)  # noqa: SLF001
OLDEST_LIBRARY = 0x020601FF
"""Kafka 4 answers the SCRAM of older librdkafkas with "invalid credentials" (librdkafka #4895)."""
SOON_DAYS = 30
SKEW_S = 60
NO_RECORDS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (
        "The feed is paused for you, or your right to read it is gone: ask whoever runs Northbound "
        "(`northbound tenants list` shows it, `tenants resume` ends a pause)"
    ),
    KafkaError._SSL: (  # noqa: SLF001
        "The connection broke after the hand-shake: does something between here and the brokers "
        "look into it?"
    ),
}
LARGE = 500
"""Records that are fetched to see that more than a hand-shake goes through."""

Answer = TypeVar("Answer")
Result = tuple[bool, str, str]
"""Whether a check passed, what it is about, and what was seen or what to change."""


def checks(folder: Path, region: str = "") -> Iterator[Result]:
    """All checks, in the order in which a connection is made. Ends at one the others need."""
    client, topics = read(folder, region)
    yield from files(folder, client)
    version, number = confluent_kafka.libversion()
    new = number >= OLDEST_LIBRARY
    advice = "pip install -U confluent-kafka: Kafka 4 refuses the SCRAM of librdkafka before 2.6.1"
    yield new, "librdkafka", version if new else f"{version}. {advice}"
    try:
        context = tls(client)
    except (OSError, ssl.SSLError):
        return  # which file is of no use was said
    certified = "ssl.certificate.location" in client
    servers = str(client["bootstrap.servers"]).split(",")
    reached = False
    for server in servers:
        for result in reach(server, context, certified=certified):
            yield result
            reached = reached or (result[0] and result[1].startswith("TLS"))
    if not reached:
        return
    told: list[KafkaError] = []
    settings = {"enable.auto.commit": False, "log_level": 0, "error_cb": told.append}
    consumer = Consumer({**client, **settings})
    try:
        metadata = None
        try:
            metadata = answer(consumer, lambda: consumer.list_topics(timeout=LOOK_S), told)
        except KafkaException as error:
            advice = CERTIFICATE if certified else LOGIN
            yield False, "login", f"{error.args[0].str()}. {advice}"
        if metadata is None:
            return
        how = client.get("sasl.mechanisms", "certificate")
        yield True, "login", f"as {client.get('sasl.username', client['client.id'])} by {how}"
        for broker in metadata.brokers.values():
            address = f"{broker.host}:{broker.port}"
            if address not in servers:
                yield from reach(address, context, certified=certified)
        for feed, topic in topics.items():
            yield from read_feed(consumer, feed, topic, str(client["group.id"]), told)
    finally:
        consumer.close()


def answer(consumer: Consumer, ask: Callable[[], Answer], told: list[KafkaError]) -> Answer:
    """What brokers answer, who may take a while. Raises KafkaException: at once where they refuse
    the user, which comes to `told` or as a message."""
    until = time.monotonic() + ANSWER_S
    while True:
        try:
            return ask()
        except KafkaException:
            message = consumer.poll(0)
            error = None if message is None else message.error()
            if error is not None:
                told.append(error)  # once for all feeds
            for each in told:
                if each.code() in REFUSALS:
                    raise KafkaException(each) from None
            if time.monotonic() > until:
                raise


LOGIN = (
    "The user name or the password is not the one that the brokers know: ask for a new bundle (the "
    "old password ends with `northbound tenants rotate`)"
)


CERTIFICATE = (
    "client.pem is not one that the brokers take, or it has ended: ask for a new bundle (the old "
    "certificate ends with `northbound tenants rotate`). Or this is the port for passwords"
)

API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""What a broker answers before anybody has logged in: its length, key and version of the request,
its number, and no client id (Kafka protocol, ApiVersions)."""


def read(folder: Path, region: str) -> tuple[dict[str, object], dict[str, str]]:
    """Consumer configuration with whole paths, and topics by feed."""
    content = json.loads((folder / "northbound.json").read_text(encoding="utf-8"))
    client = content["kafka"]
    if region:
        regions = content.get("regions", {})
        if region not in regions:
            sys.exit(
                f"no region {region} in northbound.json; there is {', '.join(regions) or 'none'}"
            )
        client["bootstrap.servers"] = regions[region]
    for key in ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location"):
        if key in client:
            client[key] = str(folder / client[key])
    return client, content["topics"]


def files(folder: Path, client: dict[str, object]) -> Iterator[Result]:
    secret = Path(str(client.get("ssl.key.location", folder / "northbound.json")))
    if secret.exists():
        mode = secret.stat().st_mode & 0o077
        holds = "the password" if secret.name == "northbound.json" else "the key"
        private = f"others may read it, and it holds {holds}: chmod 600 {secret}"
        yield mode == 0, secret.name, private if mode else "private"
    if "ssl.certificate.location" in client:
        yield own_certificate(
            str(client["ssl.certificate.location"]), str(client["ssl.key.location"])
        )
    ca = client.get("ssl.ca.location")
    if ca is None:
        yield True, "CA", "the system's own"
        return
    try:
        ssl.create_default_context(cafile=str(ca))
        yield True, "CA", str(ca)
    except (OSError, ssl.SSLError) as error:
        yield False, "CA", f"{ca}: {error}. Take ca.pem from the bundle again"


def own_certificate(file: str, key: str) -> Result:
    """Whether the certificate that this folder logs in by has its key, and is good for some
    time."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(file, key)
        # The standard library's only reader of certificates in files.
        found = ssl._ssl._test_decode_cert(file)  # type: ignore[attr-defined]  # noqa: SLF001
    except (OSError, ssl.SSLError) as error:
        return False, "client.pem", f"{error}. Take client.pem and client.key from the bundle again"
    left = ssl.cert_time_to_seconds(found["notAfter"]) - time.time()
    said = f"until {found['notAfter']}"
    if left < 0:
        said += ". It has ended, or the clock of this machine is wrong: ask for a new bundle"
    elif left < SOON_DAYS * 86_400:
        said += f". It ends in {int(left) // 86_400} days: ask for a new bundle"
    return left >= SOON_DAYS * 86_400, "client.pem", said


def tls(client: dict[str, object]) -> ssl.SSLContext:
    """What this folder trusts and is trusted by. Raises OSError or SSLError."""
    ca = client.get("ssl.ca.location")
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    if "ssl.certificate.location" in client:
        context.load_cert_chain(
            str(client["ssl.certificate.location"]), str(client["ssl.key.location"])
        )
    return context


def reach(server: str, context: ssl.SSLContext, *, certified: bool) -> Iterator[Result]:
    """Resolve, connect, and check certificate and name; whether ours is taken (`certified`)."""
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    try:
        found = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, int(port))})
    except OSError as error:
        yield False, f"name {host}", f"{error}. Add it to DNS, or to /etc/hosts on this machine"
        return
    yield True, f"name {host}", ", ".join(found)
    try:
        connection = socket.create_connection((host, int(port)), TIMEOUT_S)
    except OSError as error:
        what = "a firewall may be between" if isinstance(error, TimeoutError) else "is it up?"
        yield False, f"port {server}", f"{error}; {what} Every broker's port has to be open"
        return
    yield True, f"port {server}", "open"
    refused = ""
    with connection:
        try:
            with context.wrap_socket(connection, server_hostname=host) as secured:
                certificate = secured.getpeercert() or {}
                version = secured.version()
                if certified:
                    refused = refusal(secured)
        except ssl.SSLCertVerificationError as error:
            yield False, f"TLS {server}", f"{error.verify_message}. {certificate_advice(error)}"
            return
        except (OSError, ssl.SSLError) as error:
            # A server of TLS 1.2 refuses a certificate in the handshake.
            told = certified and "ALERT" in (getattr(error, "reason", None) or "")
            advice = f"Is this the port of {'an SSL' if certified else 'a SASL_SSL'} listener?"
            yield False, f"TLS {server}", f"{error}. {CERTIFICATE if told else advice}"
            return
    if refused:
        yield False, f"TLS {server}", f"{refused}. {CERTIFICATE}"
        return
    until = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int(until - time.time()) // 86_400
    said = f"{version}, certificate until {time.strftime('%Y-%m-%d', time.gmtime(until))}"
    if days < SOON_DAYS:
        said += f". It ends in {days} days: it has to be renewed on the other side"
    yield days >= SOON_DAYS, f"TLS {server}", said


def refusal(secured: ssl.SSLSocket) -> str:
    """What a server says that does not answer because of our certificate; "" where it answers.

    In TLS 1.3 that comes after the handshake, so that something has to be asked.
    """
    try:
        secured.sendall(API_VERSIONS)
        return "" if secured.recv(1) else "The server closed the connection after the handshake"
    except (OSError, ssl.SSLError) as error:
        return str(error)


def certificate_advice(error: ssl.SSLCertVerificationError) -> str:
    if "mismatch" in error.verify_message:
        return (
            "The certificate is for another name: use a name that is in it, or have this one added "
            "to it (kafka.embedded.northbound.advertise, or certificates.advertise below it)"
        )
    if "expired" in error.verify_message or "not yet valid" in error.verify_message:
        return "Is the clock of this machine right? Else the certificate has to be renewed"
    return "ca.pem is not the CA of this server: take it from a new bundle"


def read_feed(
    consumer: Consumer, feed: str, topic: str, group: str, told: list[KafkaError]
) -> Iterator[Result]:
    """Rights on topic and group, records, their time, and how far the group is behind."""
    described = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    if described.error is not None:
        advice = "this user may not read it, or the feed is not switched on for the tenant"
        yield False, f"topic {topic}", f"{described.error.str()}: {advice}"
        return
    yield True, f"topic {topic}", f"{len(described.partitions)} partitions"
    places = [TopicPartition(topic, number) for number in described.partitions]
    try:
        committed = answer(consumer, lambda: consumer.committed(places, timeout=LOOK_S), told)
    except KafkaException as error:
        yield (
            False,
            f"group {group}",
            f"{error.args[0].str()}. Use one that begins as this one does",
        )
        return
    behind = kept = 0
    starts = []
    for at in committed:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, at.partition), ANSWER_S)
        kept += high - low
        behind += high - (at.offset if at.offset >= 0 else low)
        starts.append(TopicPartition(topic, at.partition, max(low, high - LARGE)))
    started = any(at.offset >= 0 for at in committed)
    state = f"{behind} behind" if started else f"has read nothing yet, {behind} are there"
    yield True, f"group {group}", f"{feed}: {state}"
    if kept:
        yield fetch(consumer, feed, starts)
    else:
        yield True, f"records of {feed}", "none yet"


def fetch(consumer: Consumer, feed: str, starts: list[TopicPartition]) -> Result:
    """Read the latest records without committing anything."""
    consumer.assign(starts)
    until = time.monotonic() + ANSWER_S
    read_bytes = count = 0
    latest = 0
    while time.monotonic() < until and count < LARGE:
        messages = consumer.consume(LARGE, 1.0)
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() in NO_RECORDS:
                    return False, f"records of {feed}", f"{error.str()}. {NO_RECORDS[error.code()]}"
                continue
            count += 1
            read_bytes += len(message.value() or b"")
            latest = max(latest, message.timestamp()[1])
        if count and not messages:
            break
    consumer.unassign()
    if not count:
        return (
            False,
            f"records of {feed}",
            (
                f"nothing came within {ANSWER_S:.0f} s although records are there. Does something "
                "between here and the brokers cut long answers off (MTU, proxy, inspection)?"
            ),
        )
    ahead = latest / 1000 - time.time()
    if ahead > SKEW_S:
        return False, "clock", f"the latest record is {ahead:.0f} s in the future: set this clock"
    return True, f"records of {feed}", f"{count} read, {read_bytes} bytes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--region", default="", help="check this region's brokers")
    options = parser.parse_args()
    failed = 0
    for good, what, said in checks(Path(__file__).absolute().parent, options.region):
        failed += not good
        if options.json:
            line = json.dumps({"ok": good, "check": what, "said": said})
        else:
            line = f"{'ok  ' if good else 'FAIL'} {what}: {said}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
