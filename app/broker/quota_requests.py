"""Kafka's requests about client quotas, which librdkafka has none of: over aiokafka's connections.

Kafka protocol, DescribeClientQuotas (API 48) and AlterClientQuotas (API 49), version 0.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import for_code
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

from app.broker.cluster_error import IS_IT_UP, ClusterError, RefusedError
from app.broker.settled import POLL_S

TIMEOUT_S: Final = 20.0
EXACT: Final = 0
"""Match type of the description: the entity of this name."""
USER: Final = "user"
TEXT: Final = String("utf-8")
REFUSED: Final = (29, 31)
"""Error codes of a right that is missing: on the topic or the cluster."""

Answer = TypeVar("Answer")

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class _AlterResponse(Response):  # type: ignore[misc]
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            Array(
                ("error_code", Int16),
                ("error_message", TEXT),
                ("entity", Array(("entity_type", TEXT), ("entity_name", TEXT))),
            ),
        ),
    )


class _AlterStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", Array(("entity_type", TEXT), ("entity_name", TEXT))),
                ("ops", Array(("key", TEXT), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _Alter(Request[_AlterStruct]):  # type: ignore[misc]
    API_KEY = 49

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[_AlterStruct]) -> _AlterStruct:
        return request_struct_class(self._entries, False)


def describe(client: Mapping[str, Any], users: Iterable[str]) -> dict[str, dict[str, float]]:
    """The quotas of some users by their keys; `client`: librdkafka's configuration.

    Raises ClusterError, and RefusedError for a missing right (DESCRIBE_CONFIGS on the
    cluster).
    """

    async def ask(admin: AIOKafkaAdminClient) -> dict[str, dict[str, float]]:
        return {user: await _described(admin, user) for user in users}

    return _run(client, "read quotas", ask)


async def _described(admin: AIOKafkaAdminClient, user: str) -> dict[str, float]:
    request = DescribeClientQuotasRequest([(USER, EXACT, user)], True)
    answer = await admin._send_request(request)  # noqa: SLF001  # has no public way
    _check("read quotas", answer.error_code, answer.error_message)
    return {name: value for _, values in answer.entries or () for name, value in values}


def alter(client: Mapping[str, Any], user: str, values: Mapping[str, float | None]) -> None:
    """Set quotas of a user, or take away those that are None. Returns when a broker shows them,
    which the controller tells a moment after its own answer.

    Raises ClusterError, and RefusedError for a missing right (ALTER_CONFIGS on the cluster).
    """
    ops = [(name, value or 0.0, value is None) for name, value in values.items()]
    doing = f"set the quota of {user}"

    async def ask(admin: AIOKafkaAdminClient) -> None:
        request = _Alter([([(USER, user)], ops)])
        answer = await admin._send_request(request)  # noqa: SLF001  # has no public way
        for code, message, _ in answer.entries:
            _check(doing, code, message)
        shown = await _described(admin, user)
        while any(shown.get(name) != value for name, value in values.items()):
            await asyncio.sleep(POLL_S)
            shown = await _described(admin, user)

    _run(client, doing, ask)


def _check(doing: str, code: int, message: str | None) -> None:
    if code in REFUSED:
        raise RefusedError(f"Cannot {doing}: {for_code(code).__name__}")
    if code:
        raise ClusterError(f"Cannot {doing}: {message or for_code(code).__name__}")


def _run(
    client: Mapping[str, Any],
    doing: str,
    ask: Callable[[AIOKafkaAdminClient], Coroutine[Any, Any, Answer]],
) -> Answer:
    """In a thread of its own, as the caller may have a running loop."""

    async def connected() -> Answer:
        admin = AIOKafkaAdminClient(**_options(client))
        try:
            await admin.start()
            return await ask(admin)
        finally:
            await admin.close()

    async def in_time() -> Answer:
        return await asyncio.wait_for(connected(), TIMEOUT_S)

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(asyncio.run, in_time()).result()
        except (ClientError, TimeoutError, OSError) as error:
            raise ClusterError(
                f"Cannot {doing}: {error or 'no answer in time'}; {IS_IT_UP}"
            ) from error


def _options(client: Mapping[str, Any]) -> dict[str, Any]:
    """librdkafka's configuration as aiokafka has it."""
    protocol = client.get("security.protocol", "PLAINTEXT")
    options: dict[str, Any] = {
        "bootstrap_servers": client["bootstrap.servers"],
        "security_protocol": protocol,
        "client_id": "northbound",
    }
    if protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=client.get("ssl.ca.location"),
            certfile=client.get("ssl.certificate.location"),
            keyfile=client.get("ssl.key.location"),
        )
    if protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": client["sasl.mechanisms"],
            "sasl_plain_username": client["sasl.username"],
            "sasl_plain_password": client["sasl.password"],
        }
    return options
