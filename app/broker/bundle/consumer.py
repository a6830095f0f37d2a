#!/usr/bin/env python3
"""Print a Northbound feed, one record a line, with nothing but this folder.

    pip install confluent-kafka
    python3 consumer.py --topic alerts

A record counts as read when it has been printed. After a crash some may come again: drop those
whose `metadata.uid` you have seen.
"""

import argparse
import base64
import io
import json
import signal
import ssl
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException
except ModuleNotFoundError:
    sys.exit(f"confluent-kafka is not there: {sys.executable} -m pip install confluent-kafka")

REFUSED = {
    KafkaError._AUTHENTICATION: "the user name or password was refused",  # noqa: SLF001
    KafkaError._SSL: (  # noqa: SLF001
        "TLS failed; is ca.pem the CA of this server, and client.pem, if there is one, still valid?"
    ),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not read the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "this user may not use the consumer group",
}


def say(text: str) -> None:
    """Tell a person; standard output carries records alone."""
    sys.stderr.write(f"{text}\n")


def configuration(
    folder: Path, group: str, region: str = ""
) -> tuple[dict[str, object], dict[str, str], str]:
    """Consumer configuration, topics by feed, and the full group name."""
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
    if group:
        prefix = client["group.id"].rpartition(".")[0]
        client["group.id"] = group if "." in group else f"{prefix}.{group}"
    return client, content["topics"], client["group.id"]


def registered(folder: Path) -> Callable[[int], object] | None:
    """What gets a schema from the registry of northbound.json, if it names one, by its id."""
    content = json.loads((folder / "northbound.json").read_text(encoding="utf-8"))
    registry = content.get("schema_registry")
    if registry is None:
        return None
    context = None
    if "ssl.ca.location" in registry:
        context = ssl.create_default_context(cafile=folder / registry["ssl.ca.location"])
    headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
    if "basic.auth.user.info" in registry:
        token = base64.b64encode(registry["basic.auth.user.info"].encode()).decode()
        headers["Authorization"] = f"Basic {token}"

    def schema(number: int) -> object:
        url = f"{registry['url'].rstrip('/')}/schemas/ids/{number}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  # http by choice
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
                return json.loads(json.load(answer)["schema"])
        except (OSError, ValueError, KeyError) as error:
            sys.exit(f"no schema {number} from {registry['url']}: {error}")

    return schema


def decoder(folder: Path) -> Callable[[bytes], bytes]:
    """What makes a line of a record: nothing, or JSON of Avro where schemas are in this folder."""
    files = sorted(folder.glob("event.v*.avsc"))
    if not files:
        return bytes
    ask = registered(folder)
    try:
        from fastavro import schemaless_reader  # noqa: PLC0415  # for tenants with Avro alone
        from fastavro.schema import fingerprint, to_parsing_canonical_form  # noqa: PLC0415
    except ModuleNotFoundError:
        sys.exit(f"fastavro is not there: {sys.executable} -m pip install fastavro")
    schemas = {}
    for file in files:
        schema = json.loads(file.read_text(encoding="utf-8"))
        mark = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        schemas[b"\xc3\x01" + bytes.fromhex(mark)] = schema

    def decoded(value: bytes) -> bytes:
        size = 10
        if ask is not None and value[:1] == b"\0":
            size = 5
            if value[:5] not in schemas:
                schemas[value[:5]] = ask(int.from_bytes(value[1:5], "big"))
        schema = schemas.get(value[:size])
        if schema is None:
            sys.exit("a record has a schema that is not in this folder: ask for a new bundle")
        record = schemaless_reader(io.BytesIO(value[size:]), schema, None)
        return json.dumps(record, ensure_ascii=False).encode()

    return decoded


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topic", default="alerts", help="a feed (alerts, events) or a topic name")
    parser.add_argument("--group", default="", help="group suffix (default: siem), or a full name")
    parser.add_argument("--region", default="", help="read from this region's brokers")
    parser.add_argument("--count", type=int, default=0, help="stop after so many records")
    options = parser.parse_args()
    folder = Path(__file__).absolute().parent
    client, topics, group = configuration(folder, options.group, options.region)
    line = decoder(folder)
    topic = topics.get(options.topic, options.topic)

    def on_error(error: KafkaError) -> None:
        if error.code() in REFUSED:
            raise KafkaException(error)
        say(f"{error.str()} (trying again)")

    stopping = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.append(True))
    consumer = Consumer(
        {**client, "enable.auto.offset.store": False, "error_cb": on_error, "log_level": 0}
    )
    consumer.subscribe([topic])
    printed = 0
    try:
        while not stopping and not (options.count and printed >= options.count):
            message = consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.code() in REFUSED:
                    raise KafkaException(error)
                say(f"{error.str()} (trying again)")
                continue
            if message.value() is not None:
                sys.stdout.buffer.write(line(message.value()) + b"\n")
                sys.stdout.buffer.flush()
                printed += 1
            consumer.store_offsets(message)
    except KafkaException as failure:
        error = failure.args[0]
        reason = REFUSED.get(error.code(), error.str())
        say(f"Refused: {reason} (topic {topic}, group {group})")
        return 1
    except BrokenPipeError:
        return 0
    finally:
        consumer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
