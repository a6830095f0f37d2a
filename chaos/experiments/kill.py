"""kill -9 at random moments: of workers, of the ingest agent, of the broker, of everything."""

from dataclasses import replace

from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup

KILLS = 30


def _workers(rig: Rig, kills: int) -> None:
    for number in range(kills):
        rig.fault(f"kill -9 of a worker ({number + 1} of {kills})")
        rig.random.choice(rig.workers).kill()
        # At times while it starts or restores, at times in the middle of its work.
        rig.wait(0.3, 4.0)
    rig.flowing()
    shared = rig.matches("PartialBatch")
    rig.measured["shared_records"] = shared
    rig.claim(f"many groups shared a record {shared} times", ok=shared > 0)


def kill_agent(rig: Rig, kills: int) -> None:
    """Over and over, each time when it is ready again."""
    for _ in range(kills):
        rig.fault("kill -9 of the agent")
        rig.agent.kill()
        rig.wait(1.0, 3.0)
        rig.until(rig.agent_ready, "the agent is back")
    rig.flowing()


def _broker(rig: Rig) -> None:
    for _ in range(3):
        rig.fault("kill -9 of the broker")
        rig.kafka.kill()
        rig.wait(0.0, 2.0)
        rig.start_brokers()
        rig.flowing()
        rig.wait(0.0, 3.0)


def _everything(rig: Rig) -> None:
    for _ in range(3):
        with rig.unsupervised():
            rig.fault("kill -9 of everything")
            rig.kafka.kill()
            for process in (rig.agent, *rig.workers):
                process.kill()
            rig.start_brokers()
        rig.flowing()
        rig.wait(0.0, 3.0)


WORKERS = Experiment(
    "30 kills of workers at random moments",
    Setup(lists=True),
    lambda rig: _workers(rig, KILLS),
    300,
)
FEW_KILLS = replace(WORKERS, run=lambda rig: _workers(rig, 3), seconds=180)
"""For `make test`."""
AGENT = Experiment("kill -9 of the ingest agent", Setup(), lambda rig: kill_agent(rig, 6), 200)
BROKER = Experiment("kill -9 of the broker", Setup(), _broker, 300)
EVERYTHING = Experiment("kill -9 of everything at once", Setup(lists=True), _everything, 300)
