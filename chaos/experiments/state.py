"""State that is not as a worker left it: changelogs cut off, other formats, rules, versions."""

import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from app.config import load
from app.reading import open_reader
from chaos.experiment import Experiment
from chaos.process import ROOT
from chaos.rig import Rig
from chaos.setup import BURST, Setup
from chaos.truth import Before
from topology.alerts import STORE
from topology.keys import group_key

PREVIOUS = os.environ.get("PREVIOUS", "cccbccd")
"""The commit whose state is taken over: the one that closed the last issue. To be moved on with a
change of what events or alerts say: what its workers wrote is judged by what today's make of the
same lines."""
OLDER = os.environ.get("OLDER", "290c0f9")
"""One with much behind it, which closed the first issue."""
CLOSED_S = 16.0
"""After so many seconds of ticks alone all windows of the chaos rules are closed."""


def _pause(rig: Rig) -> None:
    """Stop the flow: all is worked off, agent and workers have ended."""
    rig.finish_senders()
    rig.finish_agent()
    rig.drained()
    for worker in rig.workers:
        worker.stop()


def _go_on(rig: Rig) -> None:
    for worker in rig.workers:
        worker.start()
    rig.agent.start()
    rig.until(rig.agent_ready, "the agent is ready")
    rig.add_sender(first=30)
    rig.flowing()
    rig.wait(10.0)


def _ends(rig: Rig, topic: str, partitions: int) -> dict[tuple[str, int], int]:
    consumer = open_reader(rig.client)
    bounds = {
        (topic, number): consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
        for number in range(partitions)
    }
    consumer.close()
    return {where: high for where, (_, high) in bounds.items()}


def _truncated(rig: Rig) -> None:
    rig.wait(8.0)
    rig.finish_senders()
    rig.wait(CLOSED_S)
    _pause(rig)
    changelog = rig.config.names.changelog(STORE)
    ends = _ends(rig, changelog, rig.config.kafka.matches_partitions)
    rig.fault(f"the changelog is cut off: {list(ends.values())} records", recovered=False)
    wanted = [TopicPartition(topic, number, end) for (topic, number), end in ends.items()]
    client = AdminClient(rig.client)  # its futures end with it
    # Kafka refuses to cut a topic that is compacted only.
    _set_policy(client, changelog, "compact,delete")
    for future in client.delete_records(wanted).values():
        future.result(30)
    _set_policy(client, changelog, "compact")
    _go_on(rig)


def _set_policy(client: AdminClient, topic: str, policy: str) -> None:
    entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in client.incremental_alter_configs([resource]).values():
        future.result(30)


def _format(rig: Rig) -> None:
    """A record of a version that this one does not know, as a downgrade would meet."""
    rig.wait(8.0)
    _pause(rig)
    changelog = rig.config.names.changelog(STORE)
    key = group_key("acme", BURST, ("somebody",)) + b"h" + bytes(8)
    rig.fault("the changelog has an entry of another format version", recovered=False)
    _write(rig, changelog, key, b"\xfe?")
    for worker in rig.workers:
        worker.start()
    before = [len(each.statuses) for each in rig.workers]

    def refused() -> bool:
        return any(
            len(each.statuses) > count for each, count in zip(rig.workers, before, strict=True)
        )

    rig.until(refused, "a worker refuses to start", 60)
    ended = [each for each, n in zip(rig.workers, before, strict=True) if len(each.statuses) > n]
    said = ended[0].log.read_text(errors="replace")
    rig.claim(f"it ends with status 1 ({ended[0].statuses[-1]})", ok=ended[0].statuses[-1] == 1)
    rig.claim("its log names the changelog", ok=changelog in said)
    rig.claim("its log says what to do", ok="the version of Northbound that wrote it" in said)
    for worker in rig.workers:
        worker.stop()
    _write(rig, changelog, key, None)
    _go_on(rig)


def _write(rig: Rig, topic: str, key: bytes, value: bytes | None) -> None:
    producer = Producer({**rig.client, "acks": "all"})
    producer.produce(topic, value, key, 0)
    if producer.flush(30):
        raise RuntimeError("the record was not written")


def _short_windows(content: dict[str, Any]) -> None:
    """Only rules whose windows are over after CLOSED_S: what the cut takes is over for all."""
    content["rules"] = [str(ROOT / "chaos" / "rules")]


def _own_rules(content: dict[str, Any]) -> None:
    content["rules"] = ["rules", str(ROOT / "rules" / "qumulo")]


def _copy_rules(folder: Path) -> None:
    shutil.copytree(ROOT / "chaos" / "rules", folder / "rules")


def _rules(rig: Rig) -> None:
    """One rule is removed, one changed, one added, while windows of all of them are open."""
    rig.wait(10.0)
    _pause(rig)
    shutil.copytree(rig.folder / "rules", rig.folder / "rules-before")
    content = yaml.safe_load(rig.path.read_text())
    content["rules"][0] = "rules-before"
    old = rig.folder / "northbound-before.yaml"
    old.write_text(yaml.safe_dump(content))
    ends = _ends(rig, rig.config.names.raw("qumulo"), rig.setup.partitions)
    rig.before = Before(load(old), ends)
    file = rig.folder / "rules" / "bursts.yml"
    rules = list(yaml.safe_load_all(file.read_text()))
    burst, many, few, *events = rules
    burst["correlation"]["condition"] = {"gte": 7}
    burst["correlation"]["timespan"] = "3s"
    fresh = {**few, "title": "Two denials", "id": f"{BURST[:-1]}9"}
    fresh["correlation"] = {**few["correlation"], "condition": {"gte": 2}}
    del few
    file.write_text(yaml.safe_dump_all([burst, many, fresh, *events], sort_keys=False))
    rig.fault("one rule is changed, one removed, one added", recovered=False)
    _go_on(rig)


def _take_over(what: str, commit: str, unsaid: Collection[str] = ()) -> Experiment:
    """Workers of an earlier commit are replaced by today's, one after another, under load.

    `what`: `Experiment.what`. `unsaid`: attributes of alerts that the commit did not write yet.
    """

    def code(folder: Path) -> None:
        place = folder / "previous"
        place.mkdir()
        command = f"git archive {commit} app topology schemas rules | tar -x -C '{place}'"
        subprocess.run(["sh", "-c", command], cwd=ROOT, check=True, timeout=60)

    def rules(content: dict[str, Any]) -> None:
        """Those that both commits know."""
        content["rules"] = [str(ROOT / "chaos" / "rules"), "previous/rules/qumulo"]

    def needs() -> str:
        argv = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=False, timeout=30)
        return "" if done.returncode == 0 else f"commit {commit} in the history"

    def run(rig: Rig) -> None:
        rig.wait(10.0)
        for worker in rig.workers:
            rig.fault(f"{worker.name} of commit {commit} is replaced")
            worker.stop()
            del worker.env["PYTHONPATH"]
            worker.start()
            rig.until(worker.ready, "the new worker is ready")
            rig.flowing()
        rig.wait(8.0)

    return Experiment(
        what,
        Setup(
            change=rules,
            environment={"PYTHONPATH": "{folder}/previous"},
            prepare=code,
            needs=needs,
            lists=True,
            unsaid=unsaid,
        ),
        run,
        200,
    )


TRUNCATED = Experiment(
    "the changelog is cut off at its end", Setup(change=_short_windows), _truncated, 200
)
FORMAT = Experiment("the changelog has another format version", Setup(), _format, 200)
RULES = Experiment(
    "rules are removed, added and changed between restarts",
    Setup(change=_own_rules, prepare=_copy_rules),
    _rules,
    200,
)
TAKE_OVER = _take_over("state and topics of the last issue's end are taken over", PREVIOUS)
TAKE_OVER_OLDER = _take_over(
    "state and topics of the first issue's end are taken over", OLDER, ["evidences"]
)
