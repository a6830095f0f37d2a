"""The Avro record of an event, made from the event model: OCSF's attributes as nested records.

Attributes that sources and detection use have a field of their own; everything else is in `other`,
a JSON object with the attributes nested as OCSF has them. A field may be added, at any place; a
new version of the schema is a new file (`python -m schemas.event > schemas/avro/event.v2.avsc`).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["string", "long", "record"]

USER: Final = ("name", "domain", "uid", "uid_alt", "email_addr")
FILE: Final = ("path", "name", "parent_folder", "ext", "uid", "type_id:long", "size:long")
PROCESS: Final = ("name", "pid:long", "uid", "cmd_line", "file.name", "file.path")
ENDPOINT: Final = ("ip", "port:long", "hostname", "name", "svc_name", "interface_name", "zone")


def _under(stem: str, members: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{stem}.{member}" for member in members)


ATTRIBUTES: Final = (
    "time:long",
    # What follows from the kind of an event stands together: it is encoded once per kind.
    *("activity_id:long", "activity_name", "category_uid:long", "class_uid:long", "class_name"),
    *("type_uid:long", "severity_id:long", "severity", "status_id:long", "status", "status_code"),
    *("status_detail", "logon_type_id:long", "api.operation", "api.service.name", "service.name"),
    *_under("connection_info", ("direction_id:long", "protocol_name", "protocol_ver")),
    *_under("connection_info", ("protocol_num:long", "uid")),
    *_under("metadata", ("version", "log_name", "event_code")),
    *_under("metadata.product", ("name", "vendor_name", "version")),
    *_under("metadata", ("uid", "logged_time:long", "original_time", "tenant_uid")),
    *_under("actor.user", USER),
    "actor.app_name",
    *_under("actor.process", PROCESS),
    *_under("user", USER),
    *_under("src_endpoint", ENDPOINT),
    *_under("dst_endpoint", ENDPOINT),
    *_under("device", ("hostname", "ip", "uid", "type_id:long")),
    *_under("process", PROCESS),
    *_under("file", FILE),
    *_under("file_result", FILE),
    *("count:long", "start_time:long", "end_time:long", "duration:long"),
    *_under("finding_info", ("uid", "title", "analytic.uid", "analytic.name", "created_time:long")),
    *("http_request.http_method", "http_request.url.url_string", "app_name", "message"),
    "raw_data",
)
"""Attributes with a field, in the order of the record; those of one object are together."""
OTHER: Final = "other"
REQUIRED: Final = "time"
RECORD: Final = "Event"


class Node(NamedTuple):
    """A field. `path`: the attribute or object; `members`: of a record, in order."""

    path: str
    kind: Kind
    members: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        """The field's name in its record."""
        return self.path.rpartition(".")[2]

    def leaves(self) -> Iterator["Node"]:
        """The attributes in it."""
        if self.kind != "record":
            yield self
        for member in self.members:
            yield from member.leaves()


def tree() -> tuple[Node, ...]:
    """The fields of the record, but for `other`, which is the last."""
    kinds: dict[str, Kind] = {}
    for each in ATTRIBUTES:
        path, _, kind = each.partition(":")
        kinds[path] = "long" if kind else "string"
    return _members("", kinds)


def _members(prefix: str, kinds: Mapping[str, Kind]) -> tuple[Node, ...]:
    names = dict.fromkeys(
        path.removeprefix(prefix).partition(".")[0] for path in kinds if path.startswith(prefix)
    )
    nodes = []
    for name in names:
        path = f"{prefix}{name}"
        if path in kinds:
            nodes.append(Node(path, kinds[path]))
        else:
            nodes.append(Node(path, "record", _members(f"{path}.", kinds)))
    return tuple(nodes)


def schema() -> dict[str, Any]:
    """The schema as Avro's specification 1.12 writes it."""
    fields = [_field(node) for node in tree()]
    other = {
        "name": OTHER,
        "type": ["null", "string"],
        "default": None,
        "doc": "JSON object with the attributes that have no field, nested as OCSF has them.",
    }
    return {
        "type": "record",
        "name": RECORD,
        "namespace": "northbound",
        "doc": "An event or alert in OCSF 1.6.0: fields are its attributes. Times are ms of UTC.",
        "fields": [*fields, other],
    }


def _field(node: Node) -> dict[str, Any]:
    if node.path == REQUIRED:
        return {"name": node.name, "type": node.kind}
    kind: Any = node.kind
    if node.kind == "record":
        kind = {
            "type": "record",
            "name": node.path.replace(".", "_"),
            "fields": [_field(member) for member in node.members],
        }
    return {"name": node.name, "type": ["null", kind], "default": None}


def text() -> str:
    """The schema's file."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(text())
