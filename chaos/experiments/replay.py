"""The same raw topics from the start, by one worker and by four: byte-identical final alerts."""

import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from app.broker import admin
from app.planning import build_plan, declared
from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup
from chaos.truth import Truth

LOAD_S = 15.0


def _replay(rig: Rig) -> None:
    rig.wait(LOAD_S / 2)
    rig.fault("kill -9 of a worker")
    rig.workers[0].kill()
    rig.wait(LOAD_S / 2)
    rig.settle()
    live = Truth(rig.config).read()
    for count in (1, 4):
        _forget(rig)
        rig.workers.clear()
        for _ in range(count):
            rig.add_worker()
        rig.drained()
        rig.age()
        for worker in rig.workers:
            worker.stop()
        again = Truth(rig.config).read()
        rig.claim(
            f"{count} worker(s) from the start: finals as live", ok=again.finals == live.finals
        )
        rig.claim(f"{count} worker(s): events as live", ok=again.events == live.events)


def _forget(rig: Rig) -> None:
    """Everything but the raw topics: outputs, state and committed offsets."""
    client = AdminClient(rig.client)
    names = rig.config.names
    groups = [names.group("events"), names.group("alerts")]
    rig.until(lambda: _deleted(client, groups), "the groups are gone")
    plan = build_plan(rig.config, {})
    topics = [each for each in declared(rig.config, plan) if each.name not in _raw(rig)]
    for future in client.delete_topics([each.name for each in topics]).values():
        future.result(30)
    gone = {each.name for each in topics}
    rig.until(lambda: not gone & client.list_topics(timeout=10).topics.keys(), "topics are gone")
    time.sleep(1.0)  # the log directories follow
    admin.ensure(admin.connect(rig.client), declared(rig.config, plan), rig.config.replication)


def _raw(rig: Rig) -> set[str]:
    return {rig.config.names.raw(source) for source in rig.config.sources}


def _deleted(client: AdminClient, groups: list[str]) -> bool:
    done = True
    for future in client.delete_consumer_groups(groups, request_timeout=10).values():
        try:
            future.result(15)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                done = False
    if not done:
        time.sleep(0.5)  # static members are gone when their session has ended
    return done


REPLAY = Experiment(
    "one worker and four, from the start: the same finals",
    Setup(lists=True, settles=False),
    _replay,
    240,
)
