"""Whether a tenant's certificate works on an existing cluster, whose listener others have set up
(`kafka.external.certificates`), and what these have to set."""

from collections.abc import Iterator

from app import logins
from app.broker import client_certificates
from app.broker.cluster_error import ClusterError
from app.broker.rights import user_name
from app.config.model import Config


def listener(config: Config, tenant: str) -> Iterator[str]:
    """What whoever manages the brokers has to see to, as comments in a script; nothing for a tenant
    that logs in otherwise, has no certificate yet, or is on the embedded broker. Raises
    ClusterError."""
    given = config.certificate_logins
    if _concerned(config, tenant) and given is not None:
        newest = client_certificates.newest(config.credentials, tenant)
        yield f"# The SSL listener at {given.servers}: {_settings(config)}."
        yield (
            f"# It has to call this certificate of {tenant} "
            f"{user_name(config.names, newest.login)}; else set kafka.external.certificates.user."
        )


def trial(config: Config, tenant: str) -> str | None:
    """Log in as the tenant; what to change so that it can read.

    None where it can, and for tenants as in `listener`. Raises ClusterError.
    """
    if not _concerned(config, tenant):
        return None
    from app import bundles  # noqa: PLC0415  # much to load, for few

    found = bundles.access(config, tenant)
    try:
        refused = bundles.login(found)
        if refused is not None:
            return (
                f"The listener at {found.servers} refuses {tenant}'s certificate ({refused}). It "
                f"needs {_settings(config)}."
            )
        if bundles.reads(found):
            return None
    except ClusterError as error:
        return (
            f"That {tenant}'s certificate works could not be tried from here ({error}). Is this "
            "the SSL listener, as kafka.external.certificates.servers says? Else run doctor.py of "
            "its bundle where its SIEM is."
        )
    login = client_certificates.newest(config.credentials, tenant).login
    common = f"{config.names.prefix}{login}"
    return (
        f"The listener at {found.servers} takes {tenant}'s certificate, and does not call it "
        f"{user_name(config.names, login)}, which has the rights. Set "
        f"kafka.external.certificates.user to what the brokers make of CN={common}, with {{}} for "
        f"{common} (CN={{}} unless ssl.principal.mapping.rules say otherwise), then run "
        f"`northbound tenants add {tenant}` again."
    )


def _concerned(config: Config, tenant: str) -> bool:
    by_certificate = config.tenants[tenant].login == "certificate"
    here = bool(client_certificates.held(config.credentials, tenant))
    return config.kafka.external is not None and by_certificate and here


def _settings(config: Config) -> str:
    """Of the brokers' listener."""
    signs = "that signed it" if logins.by_others(config) else f"in {logins.issuer(config).ca}"
    return f"ssl.client.auth=required, and ssl.truststore.location with the CA {signs}"
