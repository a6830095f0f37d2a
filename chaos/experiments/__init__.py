"""Every experiment by the name that CASE= takes. A new one is a module and a line here."""

from collections.abc import Mapping

from chaos.experiment import Experiment
from chaos.experiments import (
    brokers,
    clock,
    crash,
    disk,
    kill,
    membership,
    outage,
    poison,
    replay,
    senders,
    slow,
    soak,
    sources,
    state,
)

EXPERIMENTS: Mapping[str, Experiment] = {
    "kill-workers": kill.WORKERS,
    "kill-agent": kill.AGENT,
    "relp": senders.RELP,
    "spool": senders.SPOOL,
    "kill-broker": kill.BROKER,
    "kill-everything": kill.EVERYTHING,
    "crash": crash.CRASH,
    "crash-standby": crash.STANDBY,
    "restart": crash.RESTART,
    "zombie": membership.ZOMBIE,
    "storm": membership.STORM,
    "replay": replay.REPLAY,
    "idle-source": sources.IDLE,
    "poison": poison.POISON,
    "tenants": sources.TENANTS,
    "slow-northbound": slow.SLOW,
    "leaders": brokers.LEADERS,
    "two-brokers": brokers.TWO,
    "rolling": brokers.ROLLING,
    "open-transaction": brokers.OPEN,
    "outage": outage.OUTAGE,
    "broker-disk-full": disk.BROKER,
    "state-disk-full": disk.STATE,
    "state-read-only": disk.READ_ONLY,
    "clock": clock.CLOCK,
    "changelog-truncated": state.TRUNCATED,
    "changelog-format": state.FORMAT,
    "rules-changed": state.RULES,
    "take-over": state.TAKE_OVER,
    "soak": soak.SOAK,
}
