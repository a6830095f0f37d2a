"""What Northbound keeps of a tenant's credentials: a password, and while it is rotated two.

`<tenant>.password`: one line. `<tenant>.rotation` is there since a rotation in which an old
password worked beside the new one: Kafka keeps a password for each SCRAM mechanism of a user, so
the old one stays on the mechanism that the bundle had, and the new bundle has the other, for good.
Both files are for their owner alone.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.broker import passwords
from app.broker.cluster_error import ClusterError
from app.broker.private_file import write_private

MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")


def other_mechanism(mechanism: str) -> str:
    """SCRAM-SHA-512 of SCRAM-SHA-256, and the other way round."""
    (other,) = (each for each in MECHANISMS if each != mechanism)
    return other


@dataclass(frozen=True, slots=True)
class Credentials:
    """A tenant's password, and the mechanism of its bundle; None is the configured one.

    While an old password works, `previous`, it does with the other mechanism, and the new one with
    `mechanism` alone.
    """

    password: str = field(repr=False)
    mechanism: str | None = None
    previous: str | None = field(default=None, repr=False)

    def by_mechanism(self) -> dict[str, str]:
        """The password that each mechanism has."""
        if self.mechanism is None or self.previous is None:
            return dict.fromkeys(MECHANISMS, self.password)
        return {
            each: self.password if each == self.mechanism else self.previous for each in MECHANISMS
        }


def password_file(folder: Path, tenant: str) -> Path:
    """Where the tenant's password is kept, readable by its owner alone."""
    return folder / f"{tenant}.password"


def exist(folder: Path, tenant: str) -> bool:
    """Whether there is a password of the tenant here."""
    return password_file(folder, tenant).is_file()


def rotating(folder: Path, tenant: str) -> bool:
    """Whether an old password of the tenant works beside its new one. Raises ClusterError."""
    return exist(folder, tenant) and read(folder, tenant).previous is not None


def read(folder: Path, tenant: str) -> Credentials:
    """The tenant's credentials. Raises ClusterError when there are none here, or they are of no
    use."""
    file = password_file(folder, tenant)
    try:
        password = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ClusterError(
            f"There is no password of tenant {tenant} ({file}: {error.strerror}). Run "
            f"`northbound tenants add {tenant}`, or `tenants rotate {tenant}` for a new one."
        ) from None
    except UnicodeDecodeError:
        raise ClusterError(f"{file}: expected one line of ASCII, the tenant's password.") from None
    strange = passwords.unwritable(password)
    if strange or not password:
        raise ClusterError(f"{file}: {'; '.join(strange) or 'empty'}. Put another password there.")
    rotation = _rotation_file(folder, tenant)
    try:
        kept = json.loads(rotation.read_text(encoding="ascii"))
        mechanism, previous = kept["mechanism"], kept["previous"]
        if mechanism in MECHANISMS and isinstance(previous, str | None):
            return Credentials(password, mechanism, previous)
    except FileNotFoundError:
        return Credentials(password)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ClusterError(
        f"{rotation} cannot be read. Remove it and run `northbound tenants rotate {tenant}`: "
        "clients then have to get the new bundle."
    )


def write(folder: Path, tenant: str, credentials: Credentials) -> None:
    """Keep a tenant's credentials instead of those that were there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    rotation = _rotation_file(folder, tenant)
    if credentials.mechanism is None:
        rotation.unlink(missing_ok=True)
    else:
        kept = {"mechanism": credentials.mechanism, "previous": credentials.previous}
        write_private(rotation, json.dumps(kept).encode())
    write_private(password_file(folder, tenant), f"{credentials.password}\n".encode())


def remove(folder: Path, tenant: str) -> None:
    """Forget a tenant's credentials; none is no error."""
    password_file(folder, tenant).unlink(missing_ok=True)
    _rotation_file(folder, tenant).unlink(missing_ok=True)


def _rotation_file(folder: Path, tenant: str) -> Path:
    return folder / f"{tenant}.rotation"
