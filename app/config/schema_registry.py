"""The schema registry of northbound.yaml: where the schemas of tenants with `format: avro` are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from app.config.connection import Strict, Unfit, password_login, password_of
from app.config.fields import HttpUrl
from app.yaml_source import At

if TYPE_CHECKING:
    from app.config.model import Config

Level = Literal[
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
    "NONE",
]


class RegistryLogin(Strict):
    """How a registry is reached, with HTTP's basic authentication if any."""

    username: str | None = None
    """User name, or key, by HTTP's basic authentication."""
    password_file: Path | None = None
    """File that holds the password, or secret, and nothing else."""
    password_env: str | None = None
    """Name of an environment variable that holds it instead."""
    ca_file: Path | None = None
    """CA certificates in PEM, for https; default: the system's."""

    def unfit(self) -> Iterator[Unfit]:
        """A login that is not whole."""
        yield from password_login(self, self.username)
        if self.username is not None and ":" in self.username:
            yield "expected a username without a colon (RFC 7617)", ("username",)

    def login(self, config: "Config", at: At) -> tuple[str, str] | None:
        """User name and password. Raises ConfigError if the password is not there."""
        if self.username is None:
            return None
        return self.username, password_of(self.password_env, self.password_file, config, at)


class RegistryReaders(RegistryLogin):
    """How consumers outside reach it; it is written into their bundles, the password too, so give a
    user that may only read."""

    url: HttpUrl
    """The URL for them."""


class SchemaRegistry(RegistryLogin):
    """A registry with Confluent's interface. With it, records of tenants with `format: avro` are in
    Confluent's wire format, and their schemas stand under `<topic>-value`; without it, they are in
    Avro's single-object encoding (docs/outputs.md)."""

    urls: Annotated[list[HttpUrl], Field(min_length=1)]
    """Where it is; the first that answers is asked. Apicurio: with the path /apis/ccompat/v7."""
    certificate_file: Path | None = None
    """Client certificate in PEM, for mutual TLS."""
    key_file: Path | None = None
    """Its key in PEM."""
    publish: bool = True
    """False: somebody else registers the schemas; a start looks them up only."""
    compatibility: Level | None = "BACKWARD"
    """Level that is set for a subject when its first schema is registered; the level of one that is
    there is left as it is. null: the registry's own."""
    northbound: RegistryReaders | None = None
    """What bundles say; default: the first of `urls` and `ca_file`, without a user."""

    def unfit(self) -> Iterator[Unfit]:
        """A login and a certificate that are not whole, or not safe."""
        yield from super().unfit()
        if (self.certificate_file is None) != (self.key_file is None):
            yield "certificate_file and key_file go together", ("certificate_file", "key_file")
        if self.username is not None and any(
            each.startswith("http://") and not each.startswith(LOOPBACK) for each in self.urls
        ):
            yield "expected https: a password is sent there", ("urls",)


LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
