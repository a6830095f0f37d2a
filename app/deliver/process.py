"""The process of deliveries: all of them, each in threads of its own, until SIGTERM or SIGINT.

Threads and not processes: a thread whose receiver is slow or dead waits in the kernel and stalls no
other, hundreds of deliveries cost a few MB each, and offsets in Kafka make the end of the process
harmless to all of them. Whoever wants more cores runs `northbound deliver NAME` beside each other.
"""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.deliver.delivery import Delivery
from app.deliver.metrics import exposition
from app.deliver.pauses import Pauses, asking
from app.deliver.settings import DeliverySettings
from app.ingest.endpoint import Answer, Endpoint
from app.status import write_status
from topology.topics import Names

log = logging.getLogger(__name__)

STATUS_S: Final = 1.0
YOUNG: Final = 50_000
"""Objects after which rubbish is looked for: batches have many, and none in circles."""
STOP_S: Final = 15.0
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


async def run(
    chosen: Sequence[DeliverySettings],
    client: Mapping[str, Any],
    names: Names,
    web: tuple[str, int],
    state: Path,
    name: str,
) -> None:
    """Deliver until told to stop. `name`: of the status file in the folder `state`."""
    pauses = Pauses(asking(client), names, (each.tenant for each in chosen))
    deliveries = [Delivery(each, client, pauses.held) for each in chosen]
    text = exposition(deliveries)
    endpoint = Endpoint(
        {
            "/health": lambda: Answer(b"alive\n"),
            "/metrics": lambda: Answer(text(), METRICS),
        }
    )
    host, port = await endpoint.start(*web)
    log.info("Metrics are at http://%s:%d/metrics", host, port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gc.freeze()  # what is there by now stays, and need not be looked at again
    gc.set_threshold(YOUNG)
    pauses.start()
    for each in deliveries:
        each.start()
    while not stop.is_set():
        write_status(state, name, _status(deliveries, f"{host}:{port}"))
        try:
            await asyncio.wait_for(stop.wait(), STATUS_S)
        except TimeoutError:
            continue
    pauses.stop()
    for each in deliveries:
        each.stop()
    deadline = time.monotonic() + STOP_S
    for each in deliveries:
        await asyncio.to_thread(each.join, deadline)
    write_status(state, name, {**_status(deliveries, ""), "ready": False})
    await endpoint.stop()


def _status(deliveries: Sequence[Delivery], web: str) -> dict[str, Any]:
    return {
        "ready": True,
        "web": web,
        "deliveries": [each.status() for each in deliveries],
    }
