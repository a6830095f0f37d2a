"""What is left to whoever manages the cluster of a tenant that is paused, resumed or removed, or
whose certificates change, as commands (`kafka.external.manage: false`). The cluster is not asked,
and nothing there is changed.
"""

from collections.abc import Iterable, Sequence

from confluent_kafka.admin import AclBinding

from app.broker import client_certificates, credentials, quotas, rights
from app.broker.credentials import MECHANISMS
from app.broker.difference_lines import commands_for
from app.config.model import Config


def pause(config: Config, tenant: str, feeds: Iterable[str]) -> list[str]:
    """Keep the tenant from reading these feeds."""
    denied = rights.pauses(config.names, tenant, feeds, _logins(config, tenant))
    return _rights(config, denied, remove=False)


def resume(config: Config, tenant: str) -> list[str]:
    """Let the tenant read on; taking away what is not there is no error."""
    denied = rights.pauses(config.names, tenant, rights.FEEDS, _logins(config, tenant))
    return _rights(config, denied, remove=True)


def let_in(config: Config, tenant: str, login: str) -> list[str]:
    """Give a new certificate (its `login`) the tenant's rights and quota."""
    names = config.names
    user = rights.user_name(names, login)
    given = rights.wanted(names, tenant, [login])
    return [
        *_rights(config, rights.of_user(given, user), remove=False),
        *commands_for(config).quota(user, dict(quotas.wanted(config.tenants[tenant].quota))),
    ]


def shut_out(config: Config, tenant: str, logins: Iterable[str]) -> list[str]:
    """Take the rights and quotas of certificates away; taking away what is not there is no
    error."""
    return [line for login in logins for line in _end(config, tenant, login)]


def refuse_password(config: Config, tenant: str) -> str:
    """End the password of a tenant."""
    return commands_for(config).delete_user(rights.user_name(config.names, tenant), MECHANISMS)


def remove(config: Config, tenant: str, *, topics: bool) -> list[str]:
    """Take the tenant's rights, user and quota away, and its topics where `topics` says so.

    The rights are those that Northbound asks for; more that somebody gave are not known here.
    """
    found = config.tenants.get(tenant)
    feeds = rights.FEEDS if found is None else found.feeds
    by_certificate = found is not None and found.login == "certificate"
    has_password = not by_certificate or credentials.exist(config.credentials, tenant)
    return [
        *shut_out(config, tenant, [tenant, *_logins(config, tenant)]),
        *([refuse_password(config, tenant)] if has_password else []),
        *(
            line
            for feed in (feeds if topics else ())
            for line in commands_for(config).delete_topic(
                rights.feed_topic(config.names, tenant, feed)
            )
        ),
    ]


def _logins(config: Config, tenant: str) -> list[str]:
    return client_certificates.logins(config.credentials, [tenant])[tenant]


def _end(config: Config, tenant: str, who: str) -> list[str]:
    """The end of the rights and the quota of a tenant's user or certificate."""
    names, user = config.names, rights.user_name(config.names, who)
    logins = [] if who == tenant else [who]
    given = [
        *rights.wanted(names, tenant, logins),
        *rights.pauses(names, tenant, rights.FEEDS, logins),
    ]
    return [
        *_rights(config, rights.of_user(given, user), remove=True),
        *commands_for(config).quota(user, dict.fromkeys(quotas.KEYS)),
    ]


def _rights(config: Config, bindings: Sequence[AclBinding], *, remove: bool) -> list[str]:
    commands = commands_for(config)
    return [commands.rights(group, remove=remove) for group in rights.by_resource(bindings)]
