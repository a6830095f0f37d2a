#!/usr/bin/env python3
"""Print a Northbound feed, one record a line, with nothing but this folder.

    pip install confluent-kafka
    python3 consumer.py --topic alerts

A record counts as read when it has been printed. After a crash some may come again: drop those
whose `metadata.uid` you have seen.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException
except ModuleNotFoundError:
    sys.exit(f"confluent-kafka is not there: {sys.executable} -m pip install confluent-kafka")

REFUSED = {
    KafkaError._AUTHENTICATION: "the user name or password was refused",  # noqa: SLF001
    KafkaError._SSL: "TLS failed; is ca.pem the CA of this server?",  # noqa: SLF001
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not read the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "this user may not use the consumer group",
}


def say(text: str) -> None:
    """Tell a person; standard output carries records alone."""
    sys.stderr.write(f"{text}\n")


def configuration(folder: Path, group: str) -> tuple[dict[str, object], dict[str, str], str]:
    """Consumer configuration, topics by feed, and the full group name."""
    content = json.loads((folder / "northbound.json").read_text(encoding="utf-8"))
    client = content["kafka"]
    if "ssl.ca.location" in client:
        client["ssl.ca.location"] = str(folder / client["ssl.ca.location"])
    if group:
        prefix = client["group.id"].rpartition(".")[0]
        client["group.id"] = group if "." in group else f"{prefix}.{group}"
    return client, content["topics"], client["group.id"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topic", default="alerts", help="a feed (alerts, events) or a topic name")
    parser.add_argument("--group", default="", help="group suffix (default: siem), or a full name")
    parser.add_argument("--count", type=int, default=0, help="stop after so many records")
    options = parser.parse_args()
    client, topics, group = configuration(Path(__file__).absolute().parent, options.group)
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
                sys.stdout.buffer.write(message.value() + b"\n")
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
