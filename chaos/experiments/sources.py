"""More sources than one: windows of a silent one, and tenants with the same user names."""

import time
from typing import Any

import orjson

from app.broker import ports
from app.reading import read
from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup
from chaos.truth import Truth, is_final

CLOSES_S = 4 + 6 + 2 + 1 + 1
"""Timespan, suppression and lateness of the rule, two ticks."""
SLACK_S = 8.0


def _two_sources(content: dict[str, Any]) -> None:
    content["sources"]["second"] = dict(content["sources"]["qumulo"])
    port = ports.free("127.0.0.1")
    content["listeners"].append(
        {"protocol": "tcp", "listen": f"127.0.0.1:{port}", "source": "second"}
    )
    content["tenants"]["globex"] = {"sources": ["second"]}


def _idle(rig: Rig) -> None:
    sender = rig.add_sender(rate=400, connections=3, first=20, source=1)
    rig.wait(8.0)
    sender.stop()
    silent = time.time()
    rig.say("the second source falls silent")
    wanted = {b"Burst of deletions by one user"}
    seen: set[float] = set()

    def settled() -> bool:
        """Whether an alert of the last seconds before the silence has become final."""
        topic = rig.config.names.alerts("globex")
        for message in read(rig.client, [topic]):
            value = message.value() or b""
            if any(each in value for each in wanted) and is_final(value):
                seen.add(orjson.loads(value)["finding_info"]["last_seen_time"] / 1000)
        return bool(seen) and max(seen) > silent - 4

    rig.until(settled, "the silent source's windows close", 60)
    took = time.time() - silent
    rig.measured["closed_after_s"] = round(took, 1)
    rig.claim(f"windows close {took:.1f} s after the silence", ok=took < CLOSES_S + SLACK_S)
    rig.wait(3.0)


def _tenants(rig: Rig) -> None:
    rig.add_sender(rate=600, connections=3, first=20, source=1, tree="globex")
    rig.wait(10.0)
    rig.fault("kill -9 of a worker")
    rig.workers[0].kill()
    rig.wait(10.0)
    rig.flowing()


def _apart(rig: Rig) -> None:
    """Uids name the raw topic that they come from."""
    truth = Truth(rig.config)
    groups: dict[str, set[str]] = {}
    for tenant, settings in rig.config.tenants.items():
        own = {truth.origins[rig.config.names.raw(source)] for source in settings.sources}
        foreign = listed = 0
        for message in read(rig.client, [rig.config.names.events(tenant)]):
            uid = orjson.loads(message.value() or b"")["metadata"]["uid"]
            foreign += uid.rsplit("-", 2)[0] not in own
        users = groups.setdefault(tenant, set())
        for message in read(rig.client, [rig.config.names.alerts(tenant)]):
            alert = orjson.loads(message.value() or b"")
            users.add(str(alert["unmapped"].get("group")))
            uids = [each["uid"] for each in alert["finding_info"].get("related_events", [])]
            for each in alert.get("evidences", []):
                if (uid := each.get("data", {}).get("listed_uid")) is not None:
                    uids.append(uid)
                    listed += 1
            foreign += sum(uid.rsplit("-", 2)[0] not in own for uid in uids)
        rig.claim(
            f"{tenant}: {foreign} events or alerts of another tenant's source", ok=not foreign
        )
        rig.claim(f"{tenant}: {listed} alerts found their key in a list", ok=listed > 0)
    both = set.intersection(*groups.values())
    rig.claim(f"both tenants have alerts on {len(both)} same users", ok=len(both) > 5)


IDLE = Experiment(
    "a window closes when its source falls silent", Setup(change=_two_sources), _idle, 150
)
TENANTS = Experiment(
    "two tenants with the same user names",
    Setup(change=_two_sources, lists=True),
    _tenants,
    150,
    check=_apart,
)
