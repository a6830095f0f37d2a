"""The plan that a worker works with, made anew between two batches when rules or tenants change.

`alerts` goes on with it at once and `events` SETTLE_S later, so that a match of a new rule, or for
a new tenant, meets a worker that knows it, wherever it is counted; workers see a change within a
few seconds of each other. What is counted for rules that stay is kept, as at a restart
(topology/takeover.py).
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from app.config import Config
from app.rule_reloading import ReloadingRules
from app.tenant_reloading import Changes, ReloadingTenants
from topology.plan import Plan

log = logging.getLogger(__name__)

SETTLE_S: Final = 10.0
FIRST: Final = "alerts"
"""The sub-topology that takes another plan up first."""

Replace: TypeAlias = Callable[[str, Plan], None]
"""Lets a sub-topology, by its name, go on with another plan."""


class ReloadingPlan:
    """The plan of a worker. `look` from time to time, by one thread."""

    def __init__(self, config: Config, plan: Plan, replacing: Replace) -> None:
        """`plan`: what the worker began with, made of `config`."""
        self.rules = ReloadingRules(config, plan.rules)
        self.tenants = ReloadingTenants(config, plan)
        self._plan = self._events = plan
        """What `alerts` works with, and what `events` does: the same but for SETTLE_S."""
        self._replacing = replacing
        self._events_at: float | None = None
        self._lock = threading.Lock()
        """Of two plans the newer one is to be the last that a sub-topology is given."""

    @property
    def problems(self) -> list[str]:
        """Why what is in the files is not in use, with what to do."""
        problem = self.tenants.problem
        return [*self.rules.problems, *([] if problem is None else [problem])]

    def look(self, now: float) -> Mapping[str, list[str]] | None:
        """Read files again if they changed; `now` is a monotonic clock, in seconds.

        Returns what became of rules, as ReloadingRules.look does.
        """
        if changed := self.tenants.look():
            self._serve(changed, now)
            names = " ".join(f"{kind}={','.join(each)}" for kind, each in changed.items() if each)
            log.info("Tenants have changed. %s", names)
        if self._events_at is not None and now >= self._events_at:
            self._events_at = None
            self._write(self._plan)
        found = self.rules.look()
        if found is not None:
            self._take_up(replace(self._plan, rules=self.rules.current))
            self._events_at = now + SETTLE_S
            log.info("Rules have changed. %s", " ".join(f"{k}={len(v)}" for k, v in found.items()))
        return found

    def again(self) -> None:
        """Have what counts matches take over anew, as it would after a restart, with its rules of
        now. For any thread."""
        with self._lock:
            self._replacing(FIRST, self._plan)

    def _serve(self, changed: Changes, now: float) -> None:
        """Go on with other tenants. What goes or is different is for `events` to know at once, with
        the rules that it has; what is new waits, as new rules do."""
        tenants = self.tenants.current
        self._take_up(replace(self._plan, tenants=tenants))
        if changed["added"]:
            self._events_at = now + SETTLE_S
        if changed["removed"] or changed["changed"]:
            known = {name: each for name, each in tenants.items() if name in self._events.tenants}
            self._write(replace(self._events, tenants=known))

    def _take_up(self, plan: Plan) -> None:
        with self._lock:
            self._plan = plan
            self._replacing(FIRST, plan)

    def _write(self, plan: Plan) -> None:
        self._events = plan
        self._replacing("events", plan)
