"""A tenant's consumer that reads nothing for the whole run changes nothing for the others."""

import time

from confluent_kafka import Consumer

from app import bundles
from app.broker.bundle import client_configuration
from app.reading import SILENT
from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup

LOAD_S = 20.0


def _slow(rig: Rig) -> None:
    tenant = next(iter(rig.config.tenants))
    bundles.write(rig.config, tenant, rig.folder / "bundle")
    client, topics = client_configuration(rig.folder / "bundle")
    started = time.time()
    consumer = Consumer({**client, "auto.offset.reset": "earliest"}, logger=SILENT)
    try:
        consumer.subscribe([topics["events"], topics["alerts"]])
        rig.until(lambda: consumer.poll(0.5) is not None, "the slow consumer has joined", 60)
        rig.wait(LOAD_S)  # it holds one record, its queue is full, and it asks for no more
        gap = rig.observer.gap(started, time.time())
        rig.measured["gap_s"] = round(gap, 2)
        rig.claim(f"events never stopped for the others ({gap:.2f} s)", ok=gap < 2.0)
        rig.flowing()
        rig.settle()
    finally:
        consumer.close()


SLOW = Experiment("a consumer that reads nothing", Setup(settles=False), _slow, 150)
