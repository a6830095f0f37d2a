"""A webhook: an HTTP POST of JSON for each alert, with its key as `Idempotency-Key`.

2xx: done. 400, 413, 422: refused. 500: once more, so many times, as the receiver fails over this
alert. Any other answer, and none: it is away, or address or token are wrong; the alert waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from app.config.connection import ConfigError
from app.config.fields import http_url
from app.config.responses import KEY_HEADER
from app.deliver.connection import ClientTls
from app.deliver.destination import UnreachableError, Waiting
from app.deliver.http_exchange import FOR_GOOD, AnsweredError, HttpClient, HttpExchange
from app.deliver.secret import Secret
from app.deliver.settings import Place, client_tls
from app.respond.action import Action, AgainError, RefusedError
from app.respond.notification import Notification
from app.respond.settings import private, private_secret
from app.respond.texts import filled

if TYPE_CHECKING:
    from app.config import Config
    from app.config.responses import WebhookResponse

FAILED = 500


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """`url`: instead of the lane's address. `body`: templates, or None for the alert as it is."""

    client: HttpClient
    url: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


class Webhook(Action):
    """One connection, one request at a time."""

    def __init__(self, settings: WebhookSettings, _waiting: Waiting) -> None:
        self._settings = settings
        self._exchange = HttpExchange(settings.client)

    def open(self, address: str) -> None:
        """Connect."""
        if self._settings.url is None:
            self._exchange.open(address)
        else:
            self._exchange.open(_url(self._settings.url), shown=address)

    def act(self, alert: Notification) -> None:
        """Post it."""
        headers = {
            "Content-Type": "application/json",
            **self._settings.headers,
            KEY_HEADER: alert.key,
        }
        try:
            status, answer = self._exchange.post(json_of(alert, self._settings.body), headers)
        except AnsweredError as error:
            if error.status == FAILED:
                raise AgainError(str(error)) from None
            raise
        if status in FOR_GOOD:
            raise RefusedError(f"{status} {self._exchange.safe(answer)}")

    def close(self) -> None:
        """End the connection."""
        self._exchange.close()


def json_of(alert: Notification, body: Mapping[str, Any] | None) -> bytes:
    """The alert, or what the templates make of it."""
    return alert.value if body is None else orjson.dumps(filled(body, alert.attributes))


def _url(secret: Secret) -> str:
    try:
        return http_url(secret.read())
    except OSError as error:
        raise UnreachableError(str(error.strerror)) from None
    except ValueError:
        problem = f"{secret.file}: expected an http:// or https:// URL and nothing else"
        raise UnreachableError(problem) from None


def settings(config: "Config", at: Place, to: "WebhookResponse") -> WebhookSettings:
    """Keys of northbound.yaml as the action is told them. Raises ConfigError."""
    url = None
    if to.url_file is not None:
        url = Secret(file=private(config, (*at, "url_file"), to.url_file))
        try:
            _url(url)
        except UnreachableError as error:
            raise ConfigError([config.problem((*at, "url_file"), str(error))]) from None
    return WebhookSettings(
        client=HttpClient(
            tls=client_tls(config, at, to.tls) or ClientTls(),
            token=private_secret(config, at, "token", to.token_env, to.token_file),
            scheme=to.scheme,
            timeout_s=to.timeout / 1000,
        ),
        url=url,
        headers=to.headers,
        body=to.body,
    )


def addresses(config: "Config", to: "WebhookResponse") -> list[str]:
    """As they are, or the file of the URL that is a secret."""
    return to.addresses if to.url_file is None else [str(config.path(to.url_file))]
