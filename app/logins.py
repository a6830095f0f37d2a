"""How a tenant logs in: by a password or by a certificate, whichever northbound.yaml says."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from app.broker import certificate_logins, client_certificates, credentials, tenants
from app.broker.client_certificates import ClientCertificate
from app.broker.cluster_error import ClusterError
from app.config.model import Config

if TYPE_CHECKING:
    from app.broker.client_issuer import Issuer


def issuer(config: Config) -> "Issuer":
    """The CA that issues the tenants' certificates: Northbound's own, unless another is given. The
    embedded broker makes its own one, as it has to trust it from its start."""
    from app.broker.client_issuer import Issuer, own  # noqa: PLC0415  # much to load, for few

    given = config.certificate_logins
    if given is None or given.ca_file is None or given.key_file is None:
        return own(config.data / "tls", made=config.kafka.external is not None)
    return Issuer(config.path(given.ca_file), config.path(given.key_file), given=True)


def ensure(
    config: Config,
    admin: AdminClient,
    tenant: str,
    password: str | None = None,
    signed: Path | None = None,
) -> None:
    """Create the tenant's user and rights, or bring them in line; what was handed out stays good.

    `password`: a new one for a tenant that has a password; `signed`: file of the first certificate
    of one whose certificates others sign. Raises ClusterError.
    """
    names, folder = config.names, config.credentials
    if config.tenants[tenant].login == "certificate":
        new = keep(config, tenant, signed=signed)
        if new is not None:
            certificate_logins.let_in(admin, names, tenant, new)
            client_certificates.answered(new)
        certificate_logins.add(admin, names, tenant, folder)
    else:
        tenants.add(admin, names, tenant, folder, password)


def keep(
    config: Config, tenant: str, password: str | None = None, signed: Path | None = None
) -> ClientCertificate | None:
    """Make what the tenant logs in by, unless it is here, and tell no cluster; the certificate if
    it is new. Where others sign, the request for them is made. Raises ClusterError.

    `password`, `signed`: as in `ensure`.
    """
    held = client_certificates.held(config.credentials, tenant)
    if signed is not None and held:
        raise ClusterError(
            f"{tenant} has a certificate: `northbound tenants rotate {tenant} --certificate "
            f"{signed}` takes another one."
        )
    if config.tenants[tenant].login == "password":
        tenants.keep(config.credentials, tenant, password)
    elif held:
        pass
    elif signed is None and by_others(config):
        request(config, tenant)
    else:
        return new_certificate(config, tenant, signed)
    return None


def lacks_certificate(config: Config, tenant: str) -> bool:
    """Whether the tenant logs in by a certificate that is not here yet."""
    by_certificate = config.tenants[tenant].login == "certificate"
    return by_certificate and not client_certificates.held(config.credentials, tenant)


def signed_by_others(config: Config, tenant: str) -> bool:
    """Whether the tenant logs in by a certificate, and others sign it."""
    return config.tenants[tenant].login == "certificate" and by_others(config)


def by_others(config: Config) -> bool:
    """Whether others sign the tenants' certificates."""
    given = config.certificate_logins
    return given is not None and given.issued_by == "others"


def request(config: Config, tenant: str) -> Path:
    """What others have to sign for the tenant's next certificate. Raises ClusterError."""
    from app.broker import client_requests  # noqa: PLC0415  # much to load, for few

    return client_requests.ensure(config.credentials, tenant, config.names.prefix)


def new_certificate(config: Config, tenant: str, signed: Path | None = None) -> ClientCertificate:
    """One that Northbound issues, or the one that others have signed (a file in PEM); it has no
    rights yet. Raises ClusterError."""
    from app.broker import client_issuer, client_requests  # noqa: PLC0415  # much to load, for few

    now, folder = dt.datetime.now(dt.UTC), config.credentials
    if signed is not None:
        return client_requests.take(folder, tenant, signed, now)
    return client_issuer.issue(folder, issuer(config), tenant, config.names.prefix, now)


def check_signed(config: Config, tenant: str) -> None:
    """Whether a certificate that others have signed is of use. Raises ClusterError."""
    if not signed_by_others(config, tenant):
        raise ClusterError(
            f"{tenant} takes no certificate of others: that is for login: certificate with "
            "kafka.external.certificates.issued_by: others."
        )


def forget(config: Config, tenant: str) -> None:
    """Remove what is kept here of the tenant's logins; none is no error."""
    credentials.remove(config.credentials, tenant)
    client_certificates.forget(config.credentials, tenant)


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


def all_told(config: Config, now: dt.datetime) -> Iterator[str]:
    """What is `told` of all tenants."""
    for tenant in config.tenants:
        yield from told(config, tenant, now)


def told(config: Config, tenant: str, now: dt.datetime) -> Iterator[str]:
    """What whoever runs Northbound has to do about the tenant's logins. Raises ClusterError."""
    lacks = lacks_certificate(config, tenant)
    old = None if lacks else rotating(config, tenant)
    if old is not None:
        yield (
            f"{tenant} has an old {old}, too, until `northbound tenants rotate {tenant} --finish`"
        )
    if config.tenants[tenant].login == "password":
        return
    waits = client_certificates.waiting(config.credentials, tenant)
    if waits is not None:
        yield (
            f"Have {waits} signed by the CA that the cluster trusts for logins, then run "
            f"`northbound tenants {'add' if lacks else 'rotate'} {tenant} --certificate FILE`"
        )
    elif lacks:
        yield f"{tenant} has no certificate yet: `northbound tenants add {tenant}` makes it"
    if lacks:
        return
    until = client_certificates.newest(config.credentials, tenant).ends
    if until - now < dt.timedelta(days=client_certificates.WARN_DAYS):
        verb = "ends" if until > now else "has ended"
        yield (
            f"The certificate of {tenant} {verb} on {until:%Y-%m-%d}: `northbound tenants "
            f"rotate {tenant} --overlap` issues a new one"
        )
