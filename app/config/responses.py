"""Responses of northbound.yaml: what is done about a tenant's alerts, one by one."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from app.config.connection import TOKEN, UNREADABLE, Strict, Unfit, one_of, password_login
from app.config.deliveries import RESERVED, DeliveryTls, wrong_headers
from app.config.fields import UNITS_MS, HttpUrl, Name, Positive, Receiver, Time, TopicName, matching
from topology.templates import TemplateError, pieces

if TYPE_CHECKING:
    from app.config.model import Config
    from app.yaml_source import At

FORMAT = "ocsf-json"
KEY_HEADER = "Idempotency-Key"
MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
"""An address of RFC 5321 without quotes."""


def mailbox(value: str) -> str:
    if not MAILBOX.fullmatch(value):
        raise ValueError("expected an e-mail address, such as soc@example.com")
    return value


def template(value: str) -> str:
    try:
        pieces(value)
    except TemplateError:
        raise ValueError("expected every brace in a pair around an attribute, or doubled") from None
    return value


def templates(value: Any) -> Any:
    """Every text in a structure of YAML is a template."""
    if isinstance(value, str):
        pieces(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise ValueError(f"expected texts as names; see {name!r}")  # noqa: TRY004  # pydantic's
            templates(inner)
    elif isinstance(value, list):
        for inner in value:
            templates(inner)
    elif not isinstance(value, int | float | bool | None):
        text = f"expected texts, numbers, lists and mappings; see {value!r}"
        raise ValueError(text)  # noqa: TRY004  # likewise
    return value


Mailbox = Annotated[str, AfterValidator(mailbox)]
Template = Annotated[str, AfterValidator(template)]
HeaderScheme = Annotated[
    str, matching(r"[!#-'*+.^_`|~0-9A-Za-z-]+", "expected one word, such as Bearer or Basic")
]
JsonTemplate = Annotated[dict[str, Any], AfterValidator(templates)]


class WebhookResponse(Strict):
    """An HTTP POST for each alert, with its key as `Idempotency-Key`."""

    type: Literal["webhook"]
    """What is done."""
    addresses: list[HttpUrl] = Field(default_factory=list)
    """http:// or https:// URLs without a secret; the first that can be reached is taken."""
    url_file: Path | None = None
    """Instead of them: file that holds one URL and nothing else, for URLs that are a secret."""
    tls: DeliveryTls = DeliveryTls()
    """For https."""
    token_file: Path | None = None
    """File that holds the token and nothing else; read anew for each request."""
    token_env: str | None = None
    """Name of an environment variable that holds it instead."""
    scheme: HeaderScheme = "Bearer"
    """What stands before the token in `Authorization`; with Basic the token is the base64 text of
    user:password."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Headers of each request; nothing secret, and no Authorization."""
    body: JsonTemplate | None = None
    """The JSON of each request, with templates of alert attributes in its texts; a text that is one
    attribute and nothing else becomes its value. Without it, the alert."""
    timeout: Time = 30 * UNITS_MS["s"]
    """A receiver that answers nothing for so long counts as away."""

    def unfit(self) -> Iterator[Unfit]:
        """Two ways to say one thing, and headers that cannot be."""
        if bool(self.addresses) == (self.url_file is not None):
            yield "expected either addresses or url_file", ("addresses", "url_file")
        if len(set(self.addresses)) < len(self.addresses):
            yield "expected each address once", ("addresses",)
        yield from one_of(self, *TOKEN)
        yield from wrong_headers(self.headers, {*RESERVED, KEY_HEADER.lower()}, "response")


class EmailResponse(Strict):
    """A message for each alert, by SMTP (RFC 5321), whose Message-ID is made of its key."""

    type: Literal["email"]
    """What is done."""
    addresses: Annotated[list[Receiver], Field(min_length=1)]
    """host:port of mail servers (25, 587, or 465 with `security: tls`); the first that can be
    reached is taken."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """starttls: the connection is secured, or nothing is sent. tls: it is from the first octet on.
    none: for a server on this host; no password is sent."""
    tls: DeliveryTls = DeliveryTls()
    """For starttls and tls."""
    username: str | None = None
    """User, where the server asks for one."""
    password_file: Path | None = None
    """File that holds the password and nothing else; read anew for each connection."""
    password_env: str | None = None
    """Name of an environment variable that holds it instead."""
    sender: Mailbox
    """Whom it is from."""
    recipients: Annotated[list[Mailbox], Field(min_length=1)]
    """Whom it is for."""
    subject: Template = "[{severity}] {finding_info.title}"
    """Template of alert attributes."""
    body: Template | None = None
    """Template of the text; without it, what an alert says in lines, and the alert attached."""
    timeout: Time = 30 * UNITS_MS["s"]
    """A server that answers nothing for so long counts as away."""

    def unfit(self) -> Iterator[Unfit]:
        """A login that is not whole, or not safe."""
        yield from password_login(self, self.username)
        password = self.password_file is not None or self.password_env is not None
        if password and self.security == "none":
            yield "expected security starttls or tls: a password is sent", ("security",)


class CommandResponse(Strict):
    """A program for each alert, which is its standard input as JSON. Status 0: done, 75
    (EX_TEMPFAIL): again, any other: refused."""

    type: Literal["command"]
    """What is done."""
    argv: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    """The program's file and its arguments, as they are: there is no shell, and no secret belongs
    here."""
    timeout: Time = 30 * UNITS_MS["s"]
    """One that runs for so long is ended, with what it has started, and tried again."""


class TopicResponse(Strict):
    """A record for each alert in a topic of the same Kafka, with its key as the header
    `idempotency-key`; keyed by the alert's uid."""

    type: Literal["topic"]
    """What is done."""
    topic: TopicName
    """Its name in Kafka, which the prefix is not put before. It has to be there, and none of
    Northbound's."""
    body: JsonTemplate | None = None
    """The JSON of a record, as that of a webhook. Without it, the alert."""
    timeout: Time = 30 * UNITS_MS["s"]
    """A record that Kafka has not taken after so long is written again."""


ResponseTo: TypeAlias = Annotated[
    WebhookResponse | EmailResponse | CommandResponse | TopicResponse,
    Field(discriminator="type"),
]
"""One line for each kind; app/respond/registry.py has its code."""


class Limit(Strict):
    """What is too much of one rule is counted, and told in one message when the time is over."""

    most: Positive
    """Alerts of a rule that are answered in that time."""
    per: Time = UNITS_MS["h"]
    """The time, from the first of them on."""


class Response(Strict):
    """What is done about those alerts of a tenant that meet everything that is said here, with
    offsets of its own."""

    stand_in = MappingProxyType(
        {
            "name": UNREADABLE,
            "tenant": UNREADABLE,
            "to": {"type": "topic", "topic": UNREADABLE},
        }
    )
    name: Name
    """Identifies its offsets and its keys: under another name it begins anew."""
    tenant: str
    """Whose alerts, which have to be in ocsf-json."""
    when: Annotated[list[Literal["first", "final", "superseded"]], Field(min_length=1)] = Field(
        default=["first"]
    )
    """first: the first that is heard of an alert, provisional or final. final: its last state.
    superseded: a provisional one that does not stand."""
    rules: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids or names of rules; without it, all."""
    tags: Annotated[list[str], Field(min_length=1)] | None = None
    """Tags of rules, such as attack.t1110, one of which a rule has to have."""
    severity: Literal["informational", "low", "medium", "high", "critical"] = "informational"
    """The least severity."""
    where: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    """A `detection` section as of a Sigma rule, over alert attributes. With one thing named in it,
    `condition` may be left out."""
    limit: Limit | None = None
    """How many of one rule are answered; without it, all."""
    tries: Positive = 10
    """How often an alert is tried that was answered with `again`, or with nothing sensible, after
    pauses that double from a quarter of a second to half a minute. A receiver that is away is
    waited for without an end."""
    give_up: Literal["keep", "log"] = "keep"
    """What becomes of an alert after that, or when it is refused. keep: it is written to a file
    with the reason. log: it is counted and logged."""
    start: Literal["beginning", "end"] = "end"
    """Where it begins the first time: with all that is kept, or with what comes from then on."""
    to: ResponseTo
    """What is done."""


def problems(config: "Config") -> list[str]:
    """What is wrong between responses and the rest of northbound.yaml, with lines; but for tenants
    that are not there."""
    found = []
    names = {
        each.name: config.place(("deliveries", number))
        for number, each in enumerate(config.deliveries)
    }
    for number, response in enumerate(config.responses):
        at: At = ("responses", number)
        tenant = config.tenants.get(response.tenant)
        if tenant is None:
            pass  # what is wrong with it is told
        elif "alerts" not in tenant.feeds:
            text = f"tenant {response.tenant} has no alerts; expected alerts among its feeds"
            found.append(config.problem((*at, "tenant"), text))
        elif tenant.format != FORMAT:
            text = (
                f"tenant {response.tenant} has the format {tenant.format}; expected {FORMAT}. Add "
                "a tenant with that format, and `feeds: [alerts]`, for responses"
            )
            found.append(config.problem((*at, "tenant"), text))
        other = names.setdefault(response.name, config.place(at))
        if other != config.place(at):
            text = (
                f"{other} is named {response.name} too; each needs its own, under which its "
                "offsets are kept"
            )
            found.append(config.problem((*at, "name"), text))
        to = response.to
        if isinstance(to, TopicResponse) and config.names.owns(to.topic):
            text = f"saw {to.topic!r}, a topic of Northbound's own; expected one of yours"
            found.append(config.problem((*at, "to", "topic"), text))
    return found
