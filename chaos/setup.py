"""What an experiment runs on, and the northbound.yaml that it becomes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from app.broker import ports
from chaos.process import ROOT

RULES = [str(ROOT / "chaos" / "rules"), str(ROOT / "rules" / "qumulo")]
LIST_RULES = str(ROOT / "chaos" / "list_rules")
BURST = "3f9d4f3e-6f0b-4a39-8f4b-1a6f1b3a0001"
"""The rule on bursts of deletions."""
LISTS: Mapping[str, Any] = {
    "denied": {"key": ["user"], "ttl": "2s"},
    "deleters": {"key": ["user"], "ttl": "5s"},
    "bursting": {
        "key": ["user"],
        "ttl": "20s",
        "alerts": [{"key": ["user"], "rules": [BURST]}],
    },
}


class Sender(TypedDict, total=False):
    """Arguments of Rig.add_sender."""

    rate: int
    connections: int
    first: int
    source: int
    tree: str


@dataclass(frozen=True, slots=True)
class Setup:
    """A deployment. `senders`: those that it starts with. `change` has the last word on
    northbound.yaml."""

    brokers: int = 1
    workers: int = 2
    partitions: int = 4
    senders: Sequence[Sender] = ({},)
    module: str = "app.worker"
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the workers; {folder} is the run's folder."""
    agent_too: bool = False
    """Whether the agent gets the same environment."""
    change: Callable[[dict[str, Any]], None] = lambda _: None
    scale: float = 1.0
    """Of the senders' rates."""
    lists: bool = False
    """Whether there are active lists, and rules that ask and change them."""
    settles: bool = True
    """False: the experiment settles by itself."""
    around: Callable[[], AbstractContextManager[None]] = nullcontext
    """What the oracle's own process needs around its run of the topology."""
    place: Callable[[Path], AbstractContextManager[None]] = lambda _: nullcontext()
    """What the run's folder needs, such as a small file system; left when all has ended."""
    prepare: Callable[[Path], None] = lambda _: None
    """Puts files into the run's folder before anything starts."""
    unsaid: Collection[str] = ()
    """Attributes of alerts that are left out of the comparison: an earlier commit wrote none."""
    needs: Callable[[], str] = str
    """What is missing on this machine for the experiment; empty if nothing is."""


def configuration(setup: Setup) -> dict[str, Any]:
    """northbound.yaml as data, with free ports."""
    count = setup.brokers
    northbound = ports.free("127.0.0.1", count)
    content: dict[str, Any] = {
        "version": 1,
        "kafka": {
            "embedded": {
                "brokers": count,
                "data": "data",
                "heap": "512m" if count == 1 else "384m",
                "internal": f"127.0.0.1:{ports.free('127.0.0.1', count)}",
                "northbound": {
                    "listen": f"127.0.0.1:{northbound}",
                    "advertise": f"localhost:{northbound}",
                },
            }
        },
        "sources": {
            "qumulo": {
                "format": "qumulo",
                "partitions": setup.partitions,
                "lateness": "2s",
                "tick": "1s",
            }
        },
        "listeners": [
            {
                "protocol": "tcp",
                "listen": f"127.0.0.1:{ports.free('127.0.0.1')}",
                "source": "qumulo",
            }
        ],
        "aggregate": [
            {
                "name": "reads",
                "select": {"metadata.event_code": "fs_read_data"},
                "by": ["actor.user.name"],
                "window": "5s",
                "grace": "5s",
                "alert": {"at": 60, "title": "Many reads by one user"},
            }
        ],
        "rules": RULES,
        "tenants": {"acme": {"sources": ["qumulo"]}},
        "workers": {"count": setup.workers},
    }
    setup.change(content)
    if setup.lists:
        content["rules"] = [*content["rules"], LIST_RULES]
        content["lists"] = dict(LISTS)
    return content
