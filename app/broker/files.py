"""What brokers need that somebody else starts, in containers or on other hosts.

Settings and certificate are those of the embedded broker, made by the same functions.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.broker import certificates, cluster, ports
from app.broker.errors import BrokerError
from app.broker.private_file import write_private
from app.broker.settings import Endpoints, as_begun, properties_text, server_properties

CLUSTER_ID = "cluster.id"
PROPERTIES = "server.properties"
CERTIFICATE = "server.pem"


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker; `name` is its host, and the name of its folder."""

    name: str
    endpoints: Endpoints


def brokers(internal: str, advertise: str, listen: str) -> list[Broker]:
    """One broker for each `host:port` of the comma-separated `internal`, each on a host of its own.

    Broker n advertises the n-th address of `advertise` to consumers outside and takes them on
    `listen` with the port + n; its controller has the internal port + 1. Raises BrokerError.
    """
    inside = [each.strip() for each in internal.split(",")]
    outside = [each.strip() for each in advertise.split(",")]
    if len(inside) != len(outside):
        raise BrokerError(
            f"{len(inside)} internal addresses ({internal}) and {len(outside)} advertised ones "
            f"({advertise}): give each broker one of both, in the same order."
        )
    try:
        hosts = [ports.split(each)[0] for each in inside]
        inside_ports = [ports.split(each)[1] for each in inside]
        for each in outside:
            ports.split(each)
        listen_host, first = ports.split(listen)
    except ValueError:
        raise BrokerError(
            f"Expected host:port, separated by commas; saw {internal}, {advertise} and {listen}."
        ) from None
    if len(set(hosts)) != len(hosts):
        raise BrokerError(f"Each broker needs a host of its own; saw {internal}.")
    return [
        Broker(
            host,
            Endpoints(
                internal=ports.join(host, port),
                controller=ports.join(host, port + 1),
                listen=ports.join(listen_host, first + number),
                advertise=outside[number],
            ),
        )
        for number, (host, port) in enumerate(zip(hosts, inside_ports, strict=True))
    ]


def write(
    folder: Path, wanted: Sequence[Broker], *, tls: Path, storage: Path, now: dt.datetime
) -> list[Path]:
    """Write `folder`/<name>/server.properties and server.pem for each broker, and cluster.id.

    The brokers have to see `folder` under the same path, and keep their data in `storage`. `tls`
    keeps the CA and its key. The cluster id and a certificate that is still good stay as they are.
    Returns the brokers' folders.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / CLUSTER_ID
    if not known.is_file():
        write_private(known, f"{cluster.new_cluster_id()}\n".encode())
    nodes = [each.endpoints for each in wanted]
    hosts = [ports.split(each.advertise)[0] for each in nodes]
    certificate = certificates.ensure(tls, hosts, now).server.read_bytes()
    written = []
    for number, each in enumerate(wanted):
        own = folder / each.name
        own.mkdir(exist_ok=True, mode=0o700)
        settings = server_properties(number, nodes, storage, own / CERTIFICATE)
        settings = as_begun(settings, own / PROPERTIES)
        write_private(own / CERTIFICATE, certificate)
        write_private(own / PROPERTIES, properties_text(settings).encode())
        written.append(own)
    return written
