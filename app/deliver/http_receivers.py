"""HTTP receivers of northbound.yaml as destinations are told them. All raise ConfigError."""

from dataclasses import replace
from typing import TYPE_CHECKING

from app.config.connection import ConfigError
from app.config.deliveries import JSON_FORMATS, PasswordReceivers
from app.deliver.client_credentials import ClientCredentials
from app.deliver.connection import ClientTls
from app.deliver.destination import Feed
from app.deliver.http import HttpSettings
from app.deliver.http_exchange import HttpClient
from app.deliver.http_requests import Array, AzureLogs, ElasticBulk, Lines, Requests, SplunkHec
from app.deliver.settings import client_tls, destination_of, refusals, secret

if TYPE_CHECKING:
    from app.config import Config
    from app.config.deliveries import (
        AzureDelivery,
        Delivery,
        ElasticDelivery,
        HttpDelivery,
        HttpReceivers,
        SplunkDelivery,
    )

Feeds = tuple[Feed, ...]


def http(config: "Config", delivery: "Delivery", to: "HttpDelivery", _feeds: Feeds) -> HttpSettings:
    """Any receiver of JSON, or of lines."""
    requests = Array(to.headers) if to.body == "array" else Lines(to.headers)
    return _settings(config, delivery, to, requests)


def elastic(
    config: "Config", delivery: "Delivery", to: "ElasticDelivery", _feeds: Feeds
) -> HttpSettings:
    """Elasticsearch, OpenSearch."""
    return _settings(config, delivery, to, ElasticBulk(to.index))


def splunk(
    config: "Config", delivery: "Delivery", to: "SplunkDelivery", feeds: Feeds
) -> HttpSettings:
    """Splunk."""
    fields = {"index": to.index, "source": to.source, "sourcetype": to.sourcetype, "host": to.host}
    chosen = {name: value for name, value in fields.items() if value is not None}
    json = all(feed.format in JSON_FORMATS for feed in feeds)
    return _settings(config, delivery, to, SplunkHec(chosen, json), required=True)


def azure(
    config: "Config", delivery: "Delivery", to: "AzureDelivery", _feeds: Feeds
) -> HttpSettings:
    """Azure Monitor."""
    found = _settings(config, delivery, to, AzureLogs(to.rule, to.stream))
    at, variable, file = (
        destination_of(config, delivery),
        to.client_secret_env,
        to.client_secret_file,
    )
    own = secret(config, at, "client_secret", variable, file)
    if own is None:
        return found
    url = f"{to.login.rstrip('/')}/{to.directory}/oauth2/v2.0/token"
    token = ClientCredentials(url, str(to.client_id), own, to.scope)
    return replace(found, client=replace(found.client, token=token))


def _settings(
    config: "Config",
    delivery: "Delivery",
    to: "HttpReceivers",
    requests: Requests,
    *,
    required: bool = False,
) -> HttpSettings:
    at = destination_of(config, delivery)
    token = secret(config, at, "token", to.token_env, to.token_file)
    if required and token is None:
        raise ConfigError([config.problem(at, f"{delivery.to.type} needs token_file or token_env")])
    user = password = None
    if isinstance(to, PasswordReceivers):
        user = to.username
        password = secret(config, at, "password", to.password_env, to.password_file)
    return HttpSettings(
        requests=requests,
        refusals=refusals(config, delivery.name),
        client=HttpClient(
            tls=client_tls(config, at, to.tls) or ClientTls(),
            token=token,
            user=user,
            password=password,
            scheme=requests.scheme,
            timeout_s=to.timeout / 1000,
        ),
        gzip=to.gzip,
        records=to.batch_records,
        octets=to.batch_size,
        wait_s=to.batch_wait / 1000,
    )
