"""`northbound tenants list`: what each tenant receives, who reads it, and whether it may."""

import datetime as dt
from collections.abc import Sequence

from app.commands.options import ConfigOption, JsonOption, configured
from app.commands.topics import connected, reported
from app.config import DEFAULT_PATH
from app.output import rows


def list_(*, json: JsonOption = False, config: ConfigOption = DEFAULT_PATH) -> None:
    """Show each tenant's sources and feeds, who reads them and how far behind, and whether its user
    and rights are in the cluster.

    Example: northbound tenants list
    """
    from app import consumers, logins
    from app.broker import client_certificates, rights, tenants

    settings = configured(config)
    with reported():
        client = connected(settings)
        found = tenants.users(client, settings.names, settings.tenants)
        held = {
            name: client_certificates.held(settings.credentials, name) for name in settings.tenants
        }
        rotating = {name: logins.rotating(settings, name) for name in settings.tenants}
        reading = consumers.readers(settings, settings.tenants)
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=client_certificates.WARN_DAYS)
    table = []
    for name, tenant in settings.tenants.items():
        user = found.get(name)
        has = user.rights if user else ()
        paused = rights.paused(has, settings.names, name)
        users = [each.login for each in held[name]]
        denied = rights.pauses(settings.names, name, paused, users)
        missing, surplus = rights.differences(settings.names, [name], {name: has}, {name: users})
        by_certificate = tenant.login == "certificate"
        known = bool(held[name]) if by_certificate else bool(user and user.mechanisms)
        groups = reading[name]
        lags = [each.lag for each in groups if each.lag is not None]
        table.append(
            {
                "tenant": name,
                "sources": tenant.sources,
                "feeds": tenant.feeds,
                "format": tenant.format,
                "login": tenant.login,
                "user": user.name if user and known else None,
                "certificates": [
                    {"user": rights.user_name(settings.names, each.login), "ends": each.ends}
                    for each in held[name]
                ],
                "mechanisms": list(user.mechanisms) if user else [],
                "rights": sorted(rights.acl_text(each) for each in has if each not in denied),
                "paused": paused,
                "rotating": rotating[name] is not None,
                "state": _state(missing[name], surplus[name], paused, known=known),
                "connected": sum(len(each.members) for each in groups),
                "lag": max(lags, default=None),
                "rate": round(sum(each.rate for each in groups), 1),
                "groups": [
                    {
                        "group": each.group,
                        "state": each.state,
                        "members": each.members,
                        "lag": each.lag,
                        "rate": each.rate,
                    }
                    for each in groups
                ],
            }
        )
        if table[-1]["rotating"]:
            table[-1]["state"] = f"{table[-1]['state']}, old {rotating[name]} works, too"
        if by_certificate and held[name] and held[name][-1].ends < soon:
            table[-1]["state"] = (
                f"{table[-1]['state']}, certificate to {held[name][-1].ends:%Y-%m-%d}"
            )
    columns = ["tenant", "sources", "feeds", "user", "state", "connected", "lag", "rate"]
    rows(table, columns, json=json, title="Tenants")


def _state(
    missing: Sequence[object], surplus: Sequence[object], paused: list[str], *, known: bool
) -> str:
    """In one word or two, what is wrong."""
    if not known:
        return "no user"
    if missing:
        return "rights missing"
    if surplus:
        return "rights too wide"
    return f"paused: {' and '.join(paused)}" if paused else "ready"
