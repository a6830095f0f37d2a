"""How a tenant logs in: by a password or by a certificate, whichever northbound.yaml says."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import AdminClient

from app.broker import certificate_logins, client_certificates, credentials, tenants
from app.config.model import Config


def tls(config: Config) -> Path:
    """Folder of the CA that issues the tenants' certificates."""
    return config.data / "tls"


def ensure(config: Config, admin: AdminClient, tenant: str, password: str | None = None) -> None:
    """Create the tenant's user and rights, or bring them in line; what was handed out stays good.

    `password`: a new one for a tenant that has a password. Raises ClusterError.
    """
    names, folder = config.names, config.credentials
    if config.tenants[tenant].login == "certificate":
        now = dt.datetime.now(dt.UTC)
        certificate_logins.add(admin, names, tenant, folder, tls(config), now)
    else:
        tenants.add(admin, names, tenant, folder, password)


def rotating(config: Config, tenant: str) -> str | None:
    """What of the tenant's logins works beside that of its bundle, in a word; None: nothing.

    Raises ClusterError.
    """
    folder = config.credentials
    certificates = client_certificates.held(folder, tenant)
    if config.tenants[tenant].login == "certificate":
        if len(certificates) > 1:
            return "certificate"
        return "password" if credentials.exist(folder, tenant) else None
    if certificates:
        return "certificate"
    return "password" if credentials.rotating(folder, tenant) else None


def told(config: Config, tenant: str, now: dt.datetime) -> Iterator[str]:
    """What whoever runs Northbound has to do about the tenant's logins. Raises ClusterError."""
    old = rotating(config, tenant)
    if old is not None:
        yield (
            f"{tenant} has an old {old}, too, until `northbound tenants rotate {tenant} --finish`"
        )
    if config.tenants[tenant].login == "certificate":
        until = client_certificates.newest(config.credentials, tenant).ends
        if until - now < dt.timedelta(days=client_certificates.WARN_DAYS):
            verb = "ends" if until > now else "has ended"
            yield (
                f"The certificate of {tenant} {verb} on {until:%Y-%m-%d}: `northbound tenants "
                f"rotate {tenant} --overlap` issues a new one"
            )
