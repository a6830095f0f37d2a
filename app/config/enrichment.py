"""What northbound.yaml says of enrichments: one class, the kind that is named says which keys."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, Field

from app.config.connection import TOKEN, UNREADABLE, Strict, Unfit
from app.config.fields import (
    UNITS_MS,
    AddressText,
    DnsServer,
    Duration,
    NonEmpty,
    Positive,
    TenantName,
    Time,
    https_url,
    plain,
    source_name,
)


class Keys(NamedTuple):
    """What goes with a kind. Of the keys of `either` exactly one is given."""

    required: tuple[str, ...]
    either: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


KINDS: Final[Mapping[str, Keys]] = {
    "dictionary": Keys(("key", "as"), either=("field", "fields"), optional=("match", "tenant")),
    "topic": Keys(("key", "as"), either=("field", "fields"), optional=("match", "tenant")),
    "threats": Keys(("as",), optional=("key", "attributes", "tenant")),
    "geoip": Keys((), either=("field", "fields")),
    "dns": Keys(
        (),
        either=("field", "fields"),
        optional=("as", "servers", "timeout", "wait", "limits"),
    ),
    "qumulo": Keys(
        ("url", "account", "addresses"),
        either=("field", "fields"),
        optional=("as", "by", "token_file", "token_env", "ca_file", "timeout", "wait", "limits"),
    ),
    "constant": Keys(("to",)),
    "template": Keys(("to",)),
    "from": Keys(("to",)),
}


class ThreatAttributes(Strict):
    """Event attributes that indicators of a type are looked for in, in place of the usual ones.
    `[]` in a name stands for each element of an array: file.hashes[].value."""

    ip: list[str] | None = None
    """For addresses and networks."""
    domain: list[str] | None = None
    """For host names and domains, which match names below them too."""
    hash: list[str] | None = None
    """For MD5, SHA-1, SHA-2 and SHA-3 digests in hexadecimal."""
    file: list[str] | None = None
    """For file names without their folder, in any case."""
    url: list[str] | None = None
    """For whole URLs."""

    def given(self) -> dict[str, list[str]]:
        """By type, those that are given."""
        return self.model_dump(exclude_none=True)


class LookupLimits(Strict):
    """What look-ups while workers run may take, in each worker."""

    ttl: Time = UNITS_MS["h"]
    """An answer is asked for again after so long, or sooner where it says so itself. Until the new
    one comes the old one is used, for as long again at most."""
    negative_ttl: Duration = 5 * UNITS_MS["m"]
    """That there is nothing is believed for so long."""
    cache: Positive = 100_000
    """Values that are remembered; of more, those that were asked for first go."""
    queue: Positive = 10_000
    """Values that wait to be asked for. Of more nothing is asked until they come again."""
    rate: Positive = 100
    """Requests a second."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 16
    """Requests at a time."""


class Enrichment(Strict):
    """What is known about an event's attributes beside what its source says. One of the kinds:
    `dictionary`, `topic`, `threats`, `geoip`, `dns`, `qumulo`, `constant`, `template`, `from`."""

    stand_in = MappingProxyType({"key": UNREADABLE, "field": UNREADABLE, "as": UNREADABLE})
    dictionary: Path | None = None
    """CSV, JSON or YAML file of rows; with `key`, `field` or `fields`, and `as`."""
    topic: Annotated[str, AfterValidator(source_name)] | None = None
    """The same from the compacted topic enrichment.<topic>, which is followed while workers run and
    `northbound enrichment load` fills; with the same keys."""
    threats: Path | None = None
    """Indicators of compromise: CSV file, STIX 2.1 bundle or export of MISP; with `as`."""
    geoip: Path | None = None
    """MaxMind table (.mmdb) of locations or of autonomous systems; with `field` or `fields`. Needs
    the package extra `geoip`."""
    dns: Literal["reverse", "forward"] | None = None
    """Asked while workers run. reverse: the name of an address, which also fills the `hostname`
    beside it where the event has none; forward: the addresses of a name. With `field` or `fields`.
    Needs the package extra `dns`."""
    servers: Annotated[list[DnsServer], Field(min_length=1)] | None = None
    """DNS servers, each an IP address or one with a port (10.0.0.53:5353). Those of
    /etc/resolv.conf unless given."""
    qumulo: Literal["identity", "path"] | None = None
    """Asked of Qumulo Core's REST interface while workers run. identity: who a SID, a number or a
    name is; path: where a file's id is now. With `url`, a token, `account`, `addresses`, and
    `field` or `fields`."""
    url: Annotated[str, AfterValidator(https_url)] | None = None
    """The cluster: https://nas.example.com:8000."""
    token_file: Path | None = None
    """File that holds an access token and nothing else, with mode 0600."""
    token_env: str | None = None
    """Or the name of an environment variable that holds it."""
    ca_file: Path | None = None
    """PEM certificates that the cluster's is checked by; those of the system unless given."""
    account: Annotated[str, AfterValidator(plain)] | None = None
    """Whose token it is, as the audit log writes it. With `addresses` it tells the audit events of
    these look-ups, which the filter qumulo-look-ups drops and counts."""
    addresses: Annotated[list[AddressText], Field(min_length=1)] | None = None
    """Addresses that workers have for the cluster."""
    by: Literal["sid", "uid", "gid", "auth_id", "name"] | None = None
    """What the values of an identity are. Unless given, S-1-... is a SID, a number a uid, and all
    else a name."""
    timeout: Annotated[Duration, Field(ge=10, le=60_000)] = 2 * UNITS_MS["s"]
    """A request that takes longer is given up; its value is asked for again after 30 s, or after
    `negative_ttl` if that is shorter."""
    wait: Annotated[Duration, Field(le=5_000)] = 0
    """So long a batch may be held for answers that are not known yet. 0: it never is."""
    limits: LookupLimits = Field(default_factory=LookupLimits)
    """Bounds of look-ups while workers run."""
    constant: str | int | float | bool | None = None
    """A value for the attribute `to` of every event that has none."""
    template: NonEmpty | None = None
    """The same, of other attributes and text: "{device.hostname}/{file.path}". Nothing where one of
    them is absent; `{{` is a brace."""
    from_: NonEmpty | None = Field(default=None, alias="from")
    """The same, from another attribute."""
    to: NonEmpty | None = None
    """Attribute that is filled where it is absent."""
    key: NonEmpty | None = None
    """Column of the file to join by, or what a topic's keys are called. Of threats in a CSV file:
    `indicator`."""
    field: NonEmpty | None = None
    """Event attribute to join by, such as src_endpoint.ip."""
    fields: Annotated[list[NonEmpty], Field(min_length=1)] | None = None
    """Or several of them; each that hits is an entry of its own."""
    match: Literal["exact", "network", "domain"] | None = None
    """How the key is met. exact (the default): equal; network: an address in it, the longest prefix
    of several; domain: the name or one below it, the longest of several."""
    tenant: TenantName | None = None
    """Whose table it is: only this tenant's events and alerts have what is in it."""
    attributes: ThreatAttributes | None = None
    """Where threats are looked for."""
    name: NonEmpty | None = Field(default=None, alias="as")
    """Name of the entry in the event's `enrichments`. Unless given, of dns: dns_reverse or
    dns_forward, of qumulo: qumulo_identity or qumulo_path."""

    def unfit(self) -> Iterator[Unfit]:
        """What its kind does not have, or needs."""
        given = self._given
        kinds = [kind for kind in KINDS if kind in given]
        if len(kinds) != 1:
            seen = " and ".join(kinds) or "none"
            yield f"saw {seen}, expected exactly one of {', '.join(KINDS)}", tuple(KINDS)
            return
        kind = kinds[0]
        keys = KINDS[kind]
        if missing := [key for key in keys.required if key not in given]:
            yield f"{kind} needs {' and '.join(missing)}", tuple(missing)
        if keys.either and sum(key in given for key in keys.either) != 1:
            yield f"{kind} needs either {' or '.join(keys.either)}", keys.either
        known = (kind, *keys.required, *keys.either, *keys.optional)
        if strange := [key for key in given if key not in known]:
            text = f"saw {', '.join(strange)}, but {kind} has {', '.join(known[1:])}"
            yield text, tuple(strange)
        if self.dns == "reverse" and (
            other := [field for field in self.looked_up if not field.endswith(".ip")]
        ):
            text = (
                f"saw {', '.join(other)}, expected attributes of objects with an address, such as "
                "src_endpoint.ip"
            )
            yield text, ("field", "fields")
        if self.qumulo is not None and (self.token_file is None) == (self.token_env is None):
            yield "qumulo needs either token_file or token_env", TOKEN
        if self.qumulo == "path" and self.by is not None:
            yield "saw by, but only identities have it; a path is found by a file's id", ("by",)

    @property
    def _given(self) -> list[str]:
        """The keys that have a value."""
        names = [name for name in type(self).model_fields if name in self.model_fields_set]
        return [_key(name) for name in names if getattr(self, name) is not None]

    @property
    def kind(self) -> str:
        """The key that says what it is."""
        return next(kind for kind in KINDS if kind in self._given)

    @property
    def file(self) -> tuple[str, Path] | None:
        """The file it is read from, and the key that names it."""
        files = {"dictionary": self.dictionary, "threats": self.threats, "geoip": self.geoip}
        return next(((key, path) for key, path in files.items() if path is not None), None)

    @property
    def entry_name(self) -> str | None:
        """What it is called in `enrichments`; None: it adds nothing there."""
        if self.live and self.name is None:
            return f"{self.kind}_{self.dns or self.qumulo}"
        return self.name

    @property
    def live(self) -> bool:
        """Whether others are asked while workers run."""
        return self.dns is not None or self.qumulo is not None

    @property
    def looked_up(self) -> list[str]:
        """The attributes that are looked up."""
        return self.fields or ([self.field] if self.field is not None else [])


def _key(name: str) -> str:
    """As the file has it."""
    return {"name": "as", "from_": "from"}.get(name, name)
