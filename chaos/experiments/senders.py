"""Kills in front of Kafka where the protocol or the spool allows no loss."""

from typing import Any

from app.ingest.spill import DRAIN_MESSAGES
from chaos.experiment import Experiment
from chaos.experiments.kill import kill_agent
from chaos.relp import WINDOW
from chaos.rig import Rig
from chaos.setup import Setup
from chaos.truth import digest

SPOOLED = 2_000


def _use_relp(content: dict[str, Any]) -> None:
    content["listeners"][0]["protocol"] = "relp"


def _relp(rig: Rig) -> None:
    kill_agent(rig, 4)
    rig.fault("kill -9 of the broker", recovered=False)
    rig.kafka.kill()
    rig.wait(0.0, 2.0)
    rig.fault("kill -9 of the agent while the broker is away", recovered=False)
    rig.agent.kill()
    rig.start_brokers()
    rig.fault("the broker is back")
    rig.flowing()


def _nothing_acked_is_missing(rig: Rig) -> None:
    acked = {
        digest(line)
        for file in rig.folder.glob("acked-*.log")
        for line in file.read_bytes().split(b"\n")
        if line
    }
    missing = len(acked - rig.raw)
    rig.measured["acked"] = len(acked)
    rig.claim(f"nothing acknowledged is missing ({missing} of {len(acked)})", ok=not missing)
    rig.claim(f"every line arrived ({rig.measured['gap']} did not)", ok=not rig.measured["gap"])
    most = rig.measured["resets"] * WINDOW
    again = rig.measured["resent"]
    rig.claim(f"at most a window a break came again ({again} of {most})", ok=again <= most)


def _use_spool(content: dict[str, Any]) -> None:
    content["listeners"][0]["spool"] = "64MiB"


def _spool(rig: Rig) -> None:
    rig.fault("kill -9 of the broker", recovered=False)
    rig.kafka.kill()

    def listener() -> Any:
        return rig.status()["listeners"][0]

    rig.until(lambda: listener()["spooled"] > SPOOLED, "lines wait in the spool", 60)
    rig.finish_senders()
    lines = rig.measured["lines"]
    rig.until(lambda: listener()["received"] == lines, "the agent has all lines", 30)
    before = listener()
    rig.fault("kill -9 of the agent", recovered=False)
    rig.agent.kill()
    rig.until(lambda: rig.status()["pid"] == rig.agent.pid, "the agent is back", 60)
    found = listener()["recovered"]
    spooled = before["spooled"]
    rig.claim(f"it finds what it had spooled ({found} of {spooled})", ok=found == spooled)
    rig.measured |= {"spooled": found, "in_memory": before["in_flight"]}
    rig.start_brokers()
    rig.fault("the broker is back; kill -9 of the agent while it drains")
    rig.wait(0.2, 1.0)
    rig.agent.kill()
    rig.until(rig.agent_ready, "the agent is back")
    rig.add_sender(first=30)
    rig.flowing()


def _nothing_spooled_is_missing(rig: Rig) -> None:
    gap, memory = rig.measured["gap"], rig.measured["in_memory"]
    rig.claim(f"only what was in memory is missing ({gap} of {memory})", ok=gap <= memory)
    again = rig.measured["resent"]
    rig.claim(f"at most one draining came again ({again})", ok=again <= DRAIN_MESSAGES)


RELP = Experiment(
    "RELP senders, kill -9 of agent and broker",
    Setup(change=_use_relp),
    _relp,
    240,
    check=_nothing_acked_is_missing,
)
SPOOL = Experiment(
    "a spool, kill -9 of broker and agent",
    Setup(change=_use_spool),
    _spool,
    240,
    check=_nothing_spooled_is_missing,
)
