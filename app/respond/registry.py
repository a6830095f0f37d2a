"""Kinds of responses: one line for each, and what northbound.yaml has of them as deliveries."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.config.connection import ConfigError
from app.deliver.destination import Feed, Waiting
from app.deliver.registry import all_settings as deliveries_settings
from app.deliver.settings import DeliverySettings, Place, refusals
from app.respond import command, mail, topic, webhook
from app.respond.action import Action
from app.respond.destination import ResponseDestination, ResponseSettings
from app.respond.limit import Limits
from app.respond.selection import SEVERITIES, Selection
from app.rules import rule_files, rules_unsure
from topology.filters import NO_FILTERS, Filter, FilterErrors, Filters

if TYPE_CHECKING:
    from app.config import Config
    from app.config.responses import Limit, Response

FOLDER: Final = "responses"
"""Folder of what limits have counted, in that of the state."""


class Kind(NamedTuple):
    """`settings(config, at, to)` raises ConfigError; `action(those, waiting)`; `addresses(config,
    to)`: the first that can be opened is taken."""

    settings: Callable[..., Any]
    action: Callable[..., Action]
    addresses: Callable[..., Sequence[str]]


KINDS: Final[Mapping[str, Kind]] = {
    "webhook": Kind(webhook.settings, webhook.Webhook, webhook.addresses),
    "email": Kind(mail.settings, mail.Mail, mail.addresses),
    "command": Kind(command.settings, command.Command, command.addresses),
    "topic": Kind(topic.settings, topic.KafkaTopic, topic.addresses),
}


def all_settings(config: "Config", name: str | None = None) -> list[DeliverySettings]:
    """Deliveries and responses of northbound.yaml, or the one of this name. Raises ConfigError with
    every mistake."""
    made: list[DeliverySettings] = []
    problems: list[str] = []
    deliveries = [
        each
        for each in config.deliveries
        if name in (None, each.name) and each.tenant in config.tenants
    ]
    try:
        made += deliveries_settings(config, deliveries)
    except ConfigError as error:
        problems += error.problems
    for each in config.responses:
        if name in (None, each.name) and each.tenant in config.tenants:
            try:
                made.append(response_settings(config, each))
            except ConfigError as error:
                problems += error.problems
    if problems:
        raise ConfigError(problems)
    return made


def response_settings(config: "Config", response: "Response") -> DeliverySettings:
    """A response as a delivery of its tenant's alerts. Raises ConfigError with every mistake."""
    number, names = config.responses.index(response), config.names
    at: Place = ("responses", number)
    kind, to = KINDS[response.to.type], response.to
    problems: list[str] = []
    where = _where(config, at, response, problems)
    _known_rules(config, at, response, problems)
    found: Any = None
    try:
        found = kind.settings(config, (*at, "to"), to)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    settings = ResponseSettings(
        name=response.name,
        selection=Selection(
            when=frozenset(response.when),
            rules=None if response.rules is None else frozenset(response.rules),
            tags=None if response.tags is None else frozenset(map(str.lower, response.tags)),
            severity=SEVERITIES.index(response.severity) + 1,
            where=where,
        ),
        tries=response.tries,
        keeps=response.give_up == "keep",
        refusals=refusals(config, response.name),
    )
    tenant = config.tenants[response.tenant]
    limits = None
    if response.limit is not None:
        limits = partial(_limits, config, response.name, response.limit)
    return DeliverySettings(
        name=response.name,
        tenant=response.tenant,
        kind=to.type,
        feeds=(Feed(names.alerts(response.tenant), "alerts", tenant.format),),
        from_end=response.start == "end",
        group=names.group(f"respond-{response.name}"),
        lanes=(tuple(kind.addresses(config, to)),),
        shares=False,
        make=partial(_destination, settings, partial(kind.action, found), limits),
    )


def _destination(
    settings: ResponseSettings,
    action: Callable[[Waiting], Action],
    limits: Callable[[], Limits] | None,
    waiting: Waiting,
) -> ResponseDestination:
    return ResponseDestination(settings, action(waiting), limits() if limits else None)


def _limits(config: "Config", name: str, limit: "Limit") -> Limits:
    folder = config.state / FOLDER
    return Limits(name, limit.most, limit.per, folder, lambda: time.time_ns() // 1_000_000)


def _where(config: "Config", at: Place, response: "Response", problems: list[str]) -> Filters:
    if response.where is None:
        return NO_FILTERS
    try:
        return Filters([Filter("where", True, response.where)])
    except FilterErrors as error:
        for _, key, text in error.problems:
            first, _, rest = key.partition(".")
            problems.append(config.problem((*at, "where", *filter(None, (first, rest))), text))
        return NO_FILTERS


def _known_rules(config: "Config", at: Place, response: "Response", problems: list[str]) -> None:
    """Whether each rule is in some file: one that is spelt wrong would never be answered. Files are
    searched and not compiled, as thousands of rules take seconds."""
    wanted = dict(enumerate(response.rules or ()))
    aggregates = {each.name for each in config.aggregate}
    wanted = {number: rule for number, rule in wanted.items() if rule not in aggregates}
    paths = [config.path(each) for each in config.all_rules]
    for file in rule_files(paths) if wanted else ():
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # the workers say so
        wanted = {number: rule for number, rule in wanted.items() if rule not in text}
    for number, rule in wanted.items() if not rules_unsure(config) else ():
        text = f"saw {rule!r}, expected the id or name of a rule; no file of `rules` has it"
        problems.append(config.problem((*at, "rules", number), text))
