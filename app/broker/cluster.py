"""What stays the same at each start of the embedded Kafka: cluster id, brokers and ports."""

import base64
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from app.broker import ports
from app.broker.errors import BrokerError
from app.broker.private_file import write_private
from app.broker.settings import Endpoints


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of broker 0 as configured; broker n has the ports + n, 0 means any free port."""

    internal: str
    listen: str
    advertise: str
    by_certificate: tuple[str, str] | None = None
    """Listener and advertised address for tenants with a certificate; None: there is none."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster of a data folder."""

    cluster_id: str
    nodes: list[Endpoints]


def read_json(file: Path) -> dict[str, object]:
    """The object in a JSON file; empty when there is none or it was cut."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def new_cluster_id() -> str:
    """A cluster id as Kafka makes them: a random UUID in base64url that starts with no dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def load(data: Path, count: int, addresses: Addresses) -> Cluster:
    """The cluster in `data` (cluster.json), made the first time.

    Raises BrokerError when it has another number of brokers than `count`.
    """
    file = data / "cluster.json"
    known = read_json(file)
    if known and known.get("brokers") != count:
        raise BrokerError(
            f"{data} holds a cluster of {known.get('brokers')} broker(s), not {count}. Set "
            "kafka.embedded.brokers back or choose another kafka.embedded.data."
        )
    cluster_id = str(known.get("cluster") or new_cluster_id())
    last = known.get("ports")
    nodes = _choose(count, addresses, last if isinstance(last, dict) else {})
    first = nodes[0]
    chosen = {
        "internal": ports.split(first.internal)[1],
        "controller": ports.split(first.controller)[1],
        "listen": ports.split(first.listen)[1],
    }
    if first.by_certificate is not None:
        chosen["by_certificate"] = ports.split(first.by_certificate[0])[1]
    content = {"cluster": cluster_id, "brokers": count, "ports": chosen}
    write_private(file, json.dumps(content).encode())
    return Cluster(cluster_id, nodes)


def _choose(count: int, addresses: Addresses, last: dict[str, int]) -> list[Endpoints]:
    """Endpoints of all brokers; a free port is the one of the last start while that is free."""

    def first_port(name: str, host: str, given: int) -> int:
        before = last.get(name, 0)
        if given:
            return given
        if before and ports.all_free(host, before, count):
            return before
        return ports.free(host, count)

    internal_host, internal = ports.split(addresses.internal)
    listen_host, listen = ports.split(addresses.listen)
    advertise_host, advertise = ports.split(addresses.advertise)
    internal = first_port("internal", internal_host, internal)
    listen = first_port("listen", listen_host, listen)
    controller = first_port("controller", internal_host, 0)
    certificate: list[tuple[str, str] | None] = [None] * count
    if addresses.by_certificate is not None:
        hosts = [ports.split(each) for each in addresses.by_certificate]
        own = first_port("by_certificate", hosts[0][0], hosts[0][1])
        certificate = [
            (
                ports.join(hosts[0][0], own + number),
                ports.join(hosts[1][0], (hosts[1][1] or own) + number),
            )
            for number in range(count)
        ]
    return [
        Endpoints(
            ports.join(internal_host, internal + number),
            ports.join(internal_host, controller + number),
            ports.join(listen_host, listen + number),
            ports.join(advertise_host, (advertise or listen) + number),
            certificate[number],
        )
        for number in range(count)
    ]
