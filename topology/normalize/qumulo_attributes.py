"""What follows from a few values of a Qumulo audit record alone: class, actor, source and host.

Each function is called once per distinct combination of its arguments (topology/memo.py).
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from schemas import ocsf
from topology.memo import Memo
from topology.normalize import qumulo_vocabulary as vocabulary

UNKNOWN: Final = "unknown"
Schema = Mapping[str, type[pl.DataType]]

CLASS: Final[Schema] = {
    "activity_id": pl.Int64,
    "activity_name": pl.String,
    "category_uid": pl.Int64,
    "class_uid": pl.Int64,
    "class_name": pl.String,
    "type_uid": pl.Int64,
    "severity_id": pl.Int64,
    "severity": pl.String,
    "status_id": pl.Int64,
    "status": pl.String,
    "status_code": pl.String,
    "status_detail": pl.String,
    "metadata.version": pl.String,
    "metadata.product.name": pl.String,
    "metadata.product.vendor_name": pl.String,
    "metadata.log_name": pl.String,
    "metadata.event_code": pl.String,
    "api.operation": pl.String,
    "api.service.name": pl.String,
    "service.name": pl.String,
    "logon_type_id": pl.Int64,
    "connection_info.protocol_name": pl.String,
    "connection_info.protocol_ver": pl.String,
    "connection_info.direction_id": pl.Int64,
    "unmapped.protocol": pl.String,
    "@file_type": pl.Int64,
    "@share": pl.Boolean,
}
NETWORK_LOGON: Final = 3
INBOUND: Final = 1
UNKNOWN_DIRECTION: Final = 0


def classify(protocol: str | None, operation: str | None, status: str | None) -> tuple[Any, ...]:
    """The attributes of CLASS for one kind of record."""
    known = vocabulary.OPERATIONS.get(operation or "")
    if known is None:
        name = operation or UNKNOWN
        known = vocabulary.Operation(ocsf.API_ACTIVITY, 99 if operation else 0, name)
    class_uid = known.class_uid
    ok = status == vocabulary.OK
    status_id = (1 if ok else 2) if status else 0
    if operation in vocabulary.SENSITIVE:
        severity_id = 3
    else:
        severity_id = 2 if status in vocabulary.DENIED | vocabulary.CREDENTIALS else 1
    service, version = vocabulary.PROTOCOLS.get(protocol or "", (protocol, None))
    is_api = class_uid == ocsf.API_ACTIVITY
    is_file = class_uid == ocsf.FILE_HOSTING
    is_login = class_uid == ocsf.AUTHENTICATION
    direction = UNKNOWN_DIRECTION if protocol in (None, vocabulary.INTERNAL) else INBOUND
    return (
        known.activity_id,
        known.activity_name,
        class_uid // 1000,
        class_uid,
        ocsf.CLASS_NAMES[class_uid],
        class_uid * 100 + known.activity_id,
        severity_id,
        ocsf.SEVERITY_NAMES[severity_id],
        status_id,
        ocsf.STATUS_NAMES[status_id],
        status,
        vocabulary.STATUS_CLASSES.get(status or ""),
        ocsf.VERSION,
        "Qumulo Core",
        "Qumulo",
        "audit",
        operation,
        (operation or UNKNOWN) if is_api else None,
        service if is_api else None,
        (service or UNKNOWN) if is_login else None,
        NETWORK_LOGON if is_login else None,
        service if is_file else None,
        version if is_file else None,
        direction if is_file else None,
        protocol,
        known.file_type,
        operation in vocabulary.SHARES,
    )


ACTOR: Final[Schema] = {
    "actor.user.name": pl.String,
    "actor.user.domain": pl.String,
    "actor.user.uid": pl.String,
    "actor.user.uid_alt": pl.String,
    "actor.user.type_id": pl.Int64,
    "actor.app_name": pl.String,
    "user.name": pl.String,
    "user.domain": pl.String,
    "user.uid": pl.String,
    "user.uid_alt": pl.String,
}
# Windows SID, POSIX uid or Qumulo auth_id: what the cluster logs when it finds no name.
IDENTIFIER = re.compile(r"S-1(?:-[0-9]+)+|[0-9]+")
SYSTEM_USER: Final = 3


def identify(
    user: str | None, sid: str | None, auth_id: str | None, login: bool
) -> tuple[Any, ...]:
    """The attributes of ACTOR. `user` is as logged: `AD\\alice`, local name, uid, SID, auth_id."""
    if user is None:
        nobody = (UNKNOWN, None, None, None) if login else (None,) * 4
        return (None, None, None, None, None, "qumulo", *nobody)
    domain, name, uid = None, None, sid
    if IDENTIFIER.fullmatch(user):
        uid = sid or user
    else:
        before, _, after = user.partition("\\")
        domain, name = (before, after) if before and after else (None, user)
    uid_alt = auth_id if auth_id != uid else None
    type_id = SYSTEM_USER if user == "system" else None
    target = (name, domain, uid, uid_alt) if login else (None,) * 4
    return (name, domain, uid, uid_alt, type_id, None, *target)


HAS_NAME: Final = pl.col("user").is_not_null() & ~pl.col("user").str.contains(
    f"^(?:{IDENTIFIER.pattern})$"
)
HAS_DOMAIN: Final = (
    HAS_NAME & (pl.col("before") != "") & (pl.col("after") != "").fill_null(value=False)
)
IS_TARGET: Final = pl.col("login")
NAME: Final = pl.when(HAS_DOMAIN).then(pl.col("after")).when(HAS_NAME).then(pl.col("user"))
DOMAIN: Final = pl.when(HAS_DOMAIN).then(pl.col("before"))
UID: Final = pl.when(~HAS_NAME).then(pl.col("user"))
NOBODY: Final = pl.col("user").is_null()
TARGET_NAME: Final = pl.when(IS_TARGET & NOBODY).then(pl.lit(UNKNOWN)).when(IS_TARGET).then(NAME)
ACTOR_COLUMNS: Final = [
    NAME.alias("actor.user.name"),
    DOMAIN.alias("actor.user.domain"),
    UID.alias("actor.user.uid"),
    pl.lit(None, pl.String).alias("actor.user.uid_alt"),
    pl.when(pl.col("user") == "system")
    .then(pl.lit(SYSTEM_USER, pl.Int64))
    .alias("actor.user.type_id"),
    pl.when(NOBODY).then(pl.lit("qumulo")).alias("actor.app_name"),
    TARGET_NAME.alias("user.name"),
    pl.when(IS_TARGET).then(DOMAIN).alias("user.domain"),
    pl.when(IS_TARGET).then(UID).alias("user.uid"),
    pl.lit(None, pl.String).alias("user.uid_alt"),
]


def identify_many(columns: Sequence[pl.Series]) -> pl.DataFrame:
    """As `identify`, for many users of which nothing but what was logged is known."""
    user, login = columns
    parts = user.alias("part").to_frame().select(pl.col("part").str.splitn("\\", 2)).to_series()
    before, after = parts.struct.unnest().get_columns()
    named = [user.alias("user"), login.alias("login"), before.alias("before"), after.alias("after")]
    return pl.DataFrame(named).select(ACTOR_COLUMNS)


ORIGIN: Final[Schema] = {
    "src_endpoint.ip": pl.String,
    "src_endpoint.name": pl.String,
    "dst_endpoint.hostname": pl.String,
    "dst_endpoint.svc_name": pl.String,
}
# Nodes are CLUSTER-<number>; the cluster's name may itself hold dashes and digits.
NODE_NUMBER = re.compile(r"-[0-9]+$")


def locate(hostname: str | None, user_ip: str | None) -> tuple[str | None, ...]:
    """The attributes of ORIGIN. OCSF wants an address or a name of the client; node and cluster."""
    cluster = None if hostname is None else NODE_NUMBER.sub("", hostname)
    if _is_address(user_ip):
        return user_ip, None, hostname, cluster
    return None, user_ip or UNKNOWN, hostname, cluster


def _is_address(text: str | None) -> bool:
    try:
        ipaddress.ip_address(text or "")
    except ValueError:
        return False
    return True


OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4: Final = [pl.col("user_ip").str.contains(rf"^{OCTET}(?:\.{OCTET}){{3}}$")]
IS_ADDRESS: Final = pl.col("is_address")
ORIGIN_COLUMNS: Final = [
    pl.when(IS_ADDRESS).then(pl.col("user_ip")).alias("src_endpoint.ip"),
    pl.when(~IS_ADDRESS)
    .then(pl.when(pl.col("user_ip") != "").then(pl.col("user_ip")).otherwise(pl.lit(UNKNOWN)))
    .alias("src_endpoint.name"),
    pl.col("hostname").alias("dst_endpoint.hostname"),
    pl.col("hostname").str.replace(NODE_NUMBER.pattern, "").alias("dst_endpoint.svc_name"),
]


def locate_many(columns: Sequence[pl.Series]) -> pl.DataFrame:
    """As `locate`, for many; what is not IPv4 is looked at once for each text."""
    hostname, user_ip = columns
    found = user_ip.to_frame("user_ip").select(IPV4).to_series().fill_null(value=False).to_numpy()
    others = np.flatnonzero(~found)
    if len(others):
        texts = user_ip[others].to_list()
        known = {text: _is_address(text) for text in set(texts)}
        found = found.copy()
        found[others] = [known[text] for text in texts]
    named = [hostname.alias("hostname"), user_ip.alias("user_ip"), pl.Series("is_address", found)]
    return pl.DataFrame(named).select(ORIGIN_COLUMNS)


KINDS: Final = Memo(classify, CLASS)
ACTORS: Final = {
    2: Memo(lambda user, login: identify(user, None, None, login), ACTOR, identify_many),
    4: Memo(identify, ACTOR),
}
"""By the number of arguments: CSV bodies know the user only."""
ORIGINS: Final = Memo(locate, ORIGIN, locate_many)
