"""A tenant's new password or certificate: at once, or with a time in which the old one works, too.

Kafka keeps a salted password for each SCRAM mechanism of a user. While a rotation is open the old
password stays on the mechanism that the tenant's bundle had, and the new one is on the other; user,
rights, quota and consumer groups are the same. Of certificates two work while both have rights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from confluent_kafka.admin import AdminClient

from app import bundles, logins, unmanaged
from app.broker import (
    certificate_logins,
    credentials,
    passwords,
    quotas,
    tenants,
)
from app.broker.client_certificates import ClientCertificate, answered, held, newest
from app.broker.cluster_error import ClusterError
from app.broker.credentials import MECHANISMS, Credentials, other_mechanism
from app.broker.difference_lines import commands_for
from app.broker.rights import user_name
from app.config.model import Config


class Kind(Enum):
    """What happens to the old password."""

    NOW = "none"
    OVERLAP = "begun"
    FINISH = "finished"


@dataclass(frozen=True, slots=True)
class Done:
    """What has been done, for people; `commands`: what is left to whoever manages the cluster;
    `kind`: where something else was done than what was asked for."""

    text: str
    commands: tuple[str, ...] = ()
    kind: Kind | None = None


def rotate(
    config: Config,
    connect: Callable[[], AdminClient],
    tenant: str,
    kind: Kind,
    password: str | None = None,
    signed: Path | None = None,
) -> Done:
    """Rotate as `kind` says, to `password` or one that is made, or to a certificate that others
    have `signed`. Raises ClusterError, then with the old password as it was."""
    by_certificate = config.tenants[tenant].login == "certificate"
    if by_certificate:
        _check_certificates(config, tenant, kind, password)
    if config.unmanaged:
        if by_certificate:
            return _unmanaged_certificate(config, tenant, kind, signed)
        return _unmanaged(config, tenant, kind, password)
    admin, names, folder = connect(), config.names, config.credentials
    if by_certificate:
        return _certificate(config, admin, tenant, kind, signed)
    if held(folder, tenant) and kind is not Kind.OVERLAP:
        credentials.read(folder, tenant)
        certificate_logins.revoke(admin, config.client(), names, held(folder, tenant))
        if kind is Kind.FINISH:
            return Done(f"{tenant}'s certificates are refused; its password works.")
    if kind is Kind.FINISH:
        tenants.finish_rotation(admin, names, tenant, folder)
    elif kind is Kind.NOW:
        tenants.rotate(admin, names, tenant, folder, password)
    else:
        mechanism = config.tenants[tenant].mechanism
        tenants.begin_rotation(admin, names, tenant, folder, mechanism, password)
        return Done(_text(config, tenant, kind) + _checked(config, admin, tenant))
    return Done(_text(config, tenant, kind))


def _check_certificates(config: Config, tenant: str, kind: Kind, password: str | None) -> None:
    """Whether this can be done of a tenant that logs in by certificate. Raises ClusterError."""
    if password is not None:
        raise ClusterError(f"{tenant} logs in by certificate, so that it takes no password.")
    old = logins.rotating(config, tenant)
    if kind is Kind.OVERLAP and old is not None:
        raise ClusterError(
            f"A rotation of {tenant} is open. End it with `northbound tenants rotate {tenant} "
            f"--finish`, after which the older {old} is refused."
        )
    if kind is Kind.FINISH and old is None:
        raise ClusterError(f"No rotation of {tenant} is open; one certificate works, the newest.")
    newest(config.credentials, tenant)


def _certificate(
    config: Config, admin: AdminClient, tenant: str, kind: Kind, signed: Path | None
) -> Done:
    """The same for a tenant that logs in by certificate: all older logins end but in an overlap."""
    names, folder = config.names, config.credentials
    said, instead = "", None
    if kind is not Kind.FINISH:
        new = logins.new_certificate(config, tenant, signed)
        certificate_logins.let_in(admin, names, tenant, new)
        quotas.ensure(config.client(), names, quotas.of_users(config, tenant), commands_for(config))
        try:
            refused = bundles.login(bundles.access(config, tenant))
        except ClusterError as error:
            said = f" It could not be tried from here ({error}): run doctor.py."
            if kind is Kind.NOW:
                said += " So the old one was not ended."
                kind = instead = Kind.OVERLAP
        else:
            if refused is not None:
                certificate_logins.revoke(admin, config.client(), names, [new])
                raise ClusterError(
                    f"The listener refuses the new certificate ({refused}), so that the old one "
                    "stays."
                )
        answered(new)
        said = f"{tenant} has a new certificate, until {new.ends:%Y-%m-%d}.{said} "
        if kind is Kind.OVERLAP:
            return Done(said + _both(tenant), kind=instead)
    certificate_logins.end_older(admin, config.client(), names, tenant, folder)
    certificate_logins.end_password(admin, names, tenant, folder)
    return Done(
        f"{said}Older ones read nothing any more, over open connections neither; a password that "
        "it had is refused."
    )


def _both(tenant: str) -> str:
    return (
        f"The old one works, too, until `northbound tenants rotate {tenant} --finish`, or its own "
        "end."
    )


def _checked(config: Config, admin: AdminClient, tenant: str) -> str:
    """Log in with the new password; one that does not work is taken back."""
    try:
        found = bundles.access(config, tenant)
        refused = bundles.login(found)
    except ClusterError as error:
        return f" That the new one works could not be tried from here ({error}): run doctor.py."
    if refused is None:
        return ""
    tenants.take_back_rotation(admin, config.names, tenant, config.credentials)
    raise ClusterError(
        f"The listener refuses {found.mechanism} ({refused}), so that two passwords cannot work at "
        f"a time here, and the old one stays. Without --overlap the old password is refused at "
        f"once: {tenant}'s clients then have to reconnect with the new bundle."
    )


def _unmanaged(config: Config, tenant: str, kind: Kind, password: str | None) -> Done:
    """Keep the new credentials; the commands that make them work."""
    folder, mechanisms = config.credentials, list(MECHANISMS)
    ended: list[str] = []
    if kind is not Kind.OVERLAP and held(folder, tenant):
        credentials.read(folder, tenant)
        ended = _end_here(config, tenant, held(folder, tenant))
        if kind is Kind.FINISH:
            text = f"{tenant}'s certificates are refused then; its password works."
            return Done(text, tuple(ended))
    if kind is Kind.FINISH:
        new = tenants.finished(folder, tenant)
        mechanisms = [other_mechanism(str(new.mechanism))]
    elif kind is Kind.OVERLAP:
        new = tenants.begun(folder, tenant, config.tenants[tenant].mechanism, password)
        mechanisms = [str(new.mechanism)]
    else:
        new = Credentials(password or passwords.generate())
    credentials.write(folder, tenant, new)
    file = credentials.password_file(folder, tenant)
    user = user_name(config.names, tenant)
    lines = commands_for(config).user(user, mechanisms, str(file))
    return Done(_text(config, tenant, kind), (*lines, *ended))


def _unmanaged_certificate(config: Config, tenant: str, kind: Kind, signed: Path | None) -> Done:
    """Issue or forget certificates; the commands that let them in and shut them out."""
    folder, before, said = config.credentials, held(config.credentials, tenant), ""
    lines: list[str] = []
    if kind is not Kind.FINISH:
        new = logins.new_certificate(config, tenant, signed)
        answered(new)
        lines = unmanaged.let_in(config, tenant, new.login)
        said = (
            f"{tenant} has a new certificate, until {new.ends:%Y-%m-%d}. If {tenant} is paused, "
            "`northbound tenants pause` has the commands that keep this one from reading, too. "
        )
        if kind is Kind.OVERLAP:
            return Done(said + _both(tenant), tuple(lines))
    older = before[:-1] if kind is Kind.FINISH else before
    lines += _end_here(config, tenant, older)
    if credentials.exist(folder, tenant):
        lines.append(unmanaged.refuse_password(config, tenant))
        credentials.remove(folder, tenant)
    return Done(f"{said}Older ones read nothing then, over open connections neither.", tuple(lines))


def _end_here(config: Config, tenant: str, certificates: Sequence[ClientCertificate]) -> list[str]:
    """Forget certificates; the commands that end them."""
    lines = unmanaged.shut_out(config, tenant, [each.login for each in certificates])
    for each in certificates:
        each.file.unlink(missing_ok=True)
    return lines


def _text(config: Config, tenant: str, kind: Kind) -> str:
    if kind is Kind.FINISH:
        return f"{tenant}'s old password is refused; connections with it end within an hour."
    if kind is Kind.NOW:
        return (
            f"{tenant} has a new password. The old one is refused: its clients have to reconnect "
            "with the new bundle, and connections with the old one end within an hour."
        )
    kept = credentials.read(config.credentials, tenant)
    old = other_mechanism(str(kept.mechanism))
    return (
        f"{tenant} has a new password, by {kept.mechanism} alone; the old one works by {old} until "
        f"`northbound tenants rotate {tenant} --finish`."
    )
