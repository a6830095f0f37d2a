"""Tenants of northbound.yaml as the topology has them: what each receives, and in which form."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from app.config import Config
from app.filters import compiled
from app.mask_key import BYTES, MaskKeyError, tenants_key
from topology.enrich import Enricher
from topology.mask import Mask, formatted, maskable
from topology.plan import TenantPlan
from topology.projection import Projection, always, valid

Keys: TypeAlias = Literal["make", "read", "suppose"]
"""Whether the key of masks is made where there is none, has to be there, or is not needed."""
KEYS: Final = {"host": "dst_endpoint.hostname", "user": "@user"}
KEYED_BY: Final = {"host": "dst_endpoint.hostname", "user": "actor.user.name"}
"""What of an event its key tells."""


def tenant_plans(
    config: Config,
    enrichers: Mapping[str | None, Sequence[Enricher]],
    problems: list[str],
    *,
    keys: Keys,
    schema_ids: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, TenantPlan]:
    """All tenants; what is wrong with them is added to `problems`, each with file and line.

    `enrichers`: by the tenant that they belong to. `keys`: of masks. `schema_ids`: by
    tenant and feed, of a schema registry.
    """
    plans = {}
    for name, tenant in config.tenants.items():
        plans[name] = TenantPlan(
            name,
            frozenset(tenant.sources),
            "events" in tenant.feeds,
            "alerts" in tenant.feeds,
            tenant.format,
            KEYS[tenant.key],
            frozenset() if tenant.raw_data else frozenset({"raw_data"}),
            tuple(enrichers.get(name, ())),
            _mask(config, name, problems, keys),
            _fields(config, name, problems),
            compiled(config, ("tenants", name), tenant.filters, problems),
            (schema_ids or {}).get(name, {}),
        )
    return plans


def _fields(config: Config, name: str, problems: list[str]) -> Projection | None:
    chosen = config.tenants[name].fields
    if chosen is None:
        return None
    key, patterns = chosen.patterns
    for number, pattern in enumerate(patterns):
        at = ("tenants", name, "fields", key, number)
        if not valid(pattern):
            text = f"saw {pattern!r}, expected an attribute such as file.path, or actor.user.*"
            problems.append(config.problem(at, text))
        elif key == "leave_out" and always(pattern):
            text = f"saw {pattern!r}, which events need to be valid OCSF; expected mask, or another"
            problems.append(config.problem(at, text))
    return Projection(tuple(patterns), key == "keep")


def _mask(config: Config, name: str, problems: list[str], keys: Keys) -> Mask | None:
    tenant = config.tenants[name]
    if not tenant.mask:
        return None
    wrong = []
    for attribute, action in tenant.mask.items():
        at = ("tenants", name, "mask", attribute)
        if not maskable(attribute):
            text = f"saw {attribute!r}, expected an attribute such as actor.user.name, or file.*"
            if attribute.startswith("unmapped"):
                text = f"saw {attribute!r}; with a mask, nothing under unmapped is written anyway"
            wrong.append(config.problem(at, text))
        elif action == "hash" and formatted(attribute):
            text = "saw 'hash', but a hash has not the form that OCSF asks for here; expected drop"
            wrong.append(config.problem(at, text))
    problems += wrong
    if wrong:
        return None
    try:
        key = _key(config.path(config.mask_key), name, keys)
    except MaskKeyError as error:
        problems.append(config.problem(("tenants", name, "mask"), str(error)))
        return None
    mask = Mask(tenant.mask, key)
    if "events" in tenant.feeds and mask.action(KEYED_BY[tenant.key]) == "drop":
        text = (
            f"saw {tenant.key!r}, but the mask drops {KEYED_BY[tenant.key]}, and records need a "
            "key; expected the other key, or hash in the mask"
        )
        problems.append(config.problem(("tenants", name, "key"), text))
    return mask


def _key(file: Path, tenant: str, keys: Keys) -> bytes:
    if keys == "suppose" and not file.exists():
        return bytes(BYTES)
    return tenants_key(file, tenant, make=keys == "make")
