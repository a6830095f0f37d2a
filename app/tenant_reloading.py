"""Tenants that come, go and change while a worker runs: northbound.yaml and tenants.d, read again.

What is taken up is what a tenant receives and in which form. Its own enrichments, and sources that
are new, are taken up when workers start; `problem` says so.
"""

from collections.abc import Mapping
from typing import NamedTuple

from app.config import Config, ConfigError, load
from app.reloading import RESTART, Reloading, Stamp, file_stamp
from app.schema_registry.subjects import schema_ids
from app.tenant_plans import tenant_plans
from topology.plan import Plan, TenantPlan

Changes = dict[str, list[str]]
"""Names of the tenants that are `added`, `removed` and `changed`."""


class _Read(NamedTuple):
    """The configuration as it was read, and its tenants as the topology has them."""

    config: Config
    tenants: Mapping[str, TenantPlan]


class ReloadingTenants:
    """The tenants of a worker. `look` from time to time, by one thread."""

    def __init__(self, config: Config, plan: Plan) -> None:
        """`plan`: what the worker began with, made of `config`."""
        self._config = config
        self._plan = plan
        self._files: Reloading[_Read] = Reloading(config.file, self._load, lambda _: _stamp(config))

    @property
    def current(self) -> Mapping[str, TenantPlan]:
        """What is in the files, as the topology has it."""
        return self._files.current.tenants

    @property
    def problem(self) -> str | None:
        """Why what is in the files is not in use, with what to do."""
        return self._files.problem

    def look(self) -> Changes | None:
        """Read the files again if they changed; which tenants did, if any."""
        self._files.look()
        before = self._config.tenants
        self._config = self._files.current.config
        now = self._config.tenants
        found = {
            "added": [name for name in now if name not in before],
            "removed": [name for name in before if name not in now],
            "changed": [name for name in now if name in before and now[name] != before[name]],
        }
        return found if any(found.values()) else None

    def _load(self) -> _Read:
        """Raises ValueError for tenants that cannot be used."""
        try:
            newer = load(self._config.file)
            problems = self._waiting(newer)
            plans = tenant_plans(
                newer,
                {name: tenant.enrichers for name, tenant in self._plan.tenants.items()},
                problems,
                keys="read",
                schema_ids=schema_ids(newer),
            )
        except ConfigError as error:
            raise ValueError("; ".join(error.problems)) from error
        if problems:
            raise ValueError("; ".join(problems))
        return _Read(newer, plans)

    def _waiting(self, newer: Config) -> list[str]:
        """What tenants ask for that workers have to start for."""
        found = [
            newer.problem(
                ("tenants", name, "sources"),
                f"source {source} is new; workers take sources up when they start. {RESTART}",
            )
            for name, tenant in newer.tenants.items()
            for source in tenant.sources
            if source not in self._plan.sources
        ]
        known = {entry.tenant for entry in self._config.enrich}
        found += [
            newer.problem(
                ("enrich", number),
                f"{entry.tenant} has enrichments of its own, which workers take up when they "
                f"start. {RESTART}",
            )
            for number, entry in enumerate(newer.enrich)
            if entry.tenant is not None and entry.tenant not in known
        ]
        return found


def _stamp(config: Config) -> Stamp:
    """Of all files that tell of tenants."""
    own = sorted((config.home / "tenants.d").glob("*.yaml"))
    return (file_stamp(config.file), *((str(each), file_stamp(each)) for each in own))
