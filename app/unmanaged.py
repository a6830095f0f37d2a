"""What is left to whoever manages the cluster of a tenant that is paused, resumed or removed, as
commands (`kafka.external.manage: false`). The cluster is not asked, and nothing there is changed.
"""

from collections.abc import Iterable, Sequence

from confluent_kafka.admin import AclBinding

from app.broker import quotas, rights
from app.broker.credentials import MECHANISMS
from app.broker.difference_lines import commands_for
from app.config.model import Config


def pause(config: Config, tenant: str, feeds: Iterable[str]) -> list[str]:
    """Keep the tenant from reading these feeds."""
    return _rights(config, rights.pauses(config.names, tenant, feeds), remove=False)


def resume(config: Config, tenant: str) -> list[str]:
    """Let the tenant read on; taking away what is not there is no error."""
    return _rights(config, rights.pauses(config.names, tenant, rights.FEEDS), remove=True)


def remove(config: Config, tenant: str, *, topics: bool) -> list[str]:
    """Take the tenant's rights, user and quota away, and its topics where `topics` says so.

    The rights are those that Northbound asks for; more that somebody gave are not known here.
    """
    names, commands = config.names, commands_for(config)
    given = [*rights.wanted(names, tenant), *rights.pauses(names, tenant, rights.FEEDS)]
    user = rights.user_name(names, tenant)
    found = config.tenants.get(tenant)
    feeds = rights.FEEDS if found is None else found.feeds
    return [
        *_rights(config, given, remove=True),
        commands.delete_user(user, MECHANISMS),
        *commands.quota(user, dict.fromkeys(quotas.KEYS)),
        *(
            line
            for feed in (feeds if topics else ())
            for line in commands.delete_topic(rights.feed_topic(names, tenant, feed))
        ),
    ]


def _rights(config: Config, bindings: Sequence[AclBinding], *, remove: bool) -> list[str]:
    commands = commands_for(config)
    return [commands.rights(group, remove=remove) for group in rights.by_resource(bindings)]
