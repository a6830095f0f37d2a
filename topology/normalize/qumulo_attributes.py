"""What follows from a few values of a Qumulo audit record alone: class, actor, source and host.

Each function is called once per distinct combination of its arguments (topology/memo.py).
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

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
    try:
        ipaddress.ip_address(user_ip or "")
    except ValueError:
        return None, user_ip or UNKNOWN, hostname, cluster
    return user_ip, None, hostname, cluster


KINDS: Final = Memo(classify, CLASS)
ACTORS: Final = {
    2: Memo(lambda user, login: identify(user, None, None, login), ACTOR),
    4: Memo(identify, ACTOR),
}
"""By the number of arguments: CSV bodies know the user only."""
ORIGINS: Final = Memo(locate, ORIGIN)
