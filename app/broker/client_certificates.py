"""Certificates by which tenants log in, and the CA that issues them and nothing else.

`clients-ca.pem` and `clients-ca.key` are beside the brokers' CA; the broker makes them. Each
certificate is a Kafka user of its own, `<user>/<number>-<random>`, so that it ends at once when the
rights of that user do: Kafka reads no revocation lists, and keeps TLS connections for as long as
they last. No user is named twice, also when a tenant is removed and comes back.

`<tenant>.<number>-<random>.pem` in the folder of credentials has key and certificate, mode 0600.
One that others are to sign is `.csr` and `.key` of that name until it is here (client_requests.py).
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.broker.cluster_error import ClusterError

WARN_DAYS: Final = 30
CA_FILE: Final = "clients-ca.pem"
MAPPING: Final = "RULE:^CN=([^,=]+)$/$1/"
"""How Kafka gets the user from a certificate's name (ssl.principal.mapping.rules)."""
_FILE: Final = re.compile(r"(?P<number>\d+)-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """One that a tenant has. `login`: `<tenant>/<number>-<random>`; the user's name is the topic
    prefix and that."""

    login: str
    file: Path

    @property
    def ends(self) -> dt.datetime:
        """When it ends. Raises ClusterError where the file cannot be read."""
        from app.broker.certificates import ends  # noqa: PLC0415  # much to load, for few

        try:
            return ends(self.file)
        except (OSError, ValueError):
            tenant = self.login.partition("/")[0]
            raise ClusterError(
                f"{self.file} cannot be read. Remove it and run `northbound tenants rotate "
                f"{tenant}`."
            ) from None


def held(folder: Path, tenant: str) -> list[ClientCertificate]:
    """What the tenant has, the oldest first."""
    found = []
    for file in folder.glob(f"{tenant}.*.pem"):
        name = _named(file, tenant)
        if name is None:
            continue
        found.append((int(name["number"]), ClientCertificate(f"{tenant}/{name[0]}", file)))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def waiting(folder: Path, tenant: str) -> Path | None:
    """The request for a certificate that others have to sign, if there is one."""
    found = [file for file in folder.glob(f"{tenant}.*.csr") if _named(file, tenant)]
    return max(found, default=None)


def answered(certificate: ClientCertificate) -> None:
    """Forget the request of a certificate that works; none is no error."""
    for suffix in (".csr", ".key"):
        certificate.file.with_suffix(suffix).unlink(missing_ok=True)


def forget(folder: Path, tenant: str) -> None:
    """Remove all certificates of a tenant, and a request; none is no error."""
    for suffix in ("pem", "csr", "key"):
        for file in folder.glob(f"{tenant}.*.{suffix}"):
            if _named(file, tenant):
                file.unlink(missing_ok=True)


def _named(file: Path, tenant: str) -> re.Match[str] | None:
    """Number and random part in the name of one of the tenant's files; None of another file."""
    return _FILE.fullmatch(file.name[len(tenant) + 1 : -len(file.suffix)])


def logins(folder: Path, tenants: Sequence[str]) -> dict[str, list[str]]:
    """By tenant, the users of its certificates, without the topic prefix."""
    return {tenant: [each.login for each in held(folder, tenant)] for tenant in tenants}


def newest(folder: Path, tenant: str) -> ClientCertificate:
    """The one of the tenant's bundle. Raises ClusterError where it has none."""
    found = held(folder, tenant)
    if not found:
        raise ClusterError(
            f"There is no certificate of tenant {tenant} in {folder}. Run `northbound tenants add "
            f"{tenant}`."
        )
    return found[-1]
