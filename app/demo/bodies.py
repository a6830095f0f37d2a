"""One Qumulo audit record as a cluster writes it: CSV, or JSON with its unstable key order."""

import json
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.demo.vocabulary import Person

Form: TypeAlias = Literal["csv", "json"]


@dataclass(frozen=True, slots=True)
class Record:
    """What happened. `details` are JSON's alone."""

    person: Person
    protocol: str
    operation: str
    status: str = "ok"
    object_id: str = ""
    path: str = ""
    target: str = ""
    size: int | None = None


def body(record: Record, form: Form, *, variant: int = 0) -> bytes:
    """The record as the message of a syslog line. `variant` chooses JSON's key order and quirks."""
    return _csv(record) if form == "csv" else _json(record, variant)


def _csv(record: Record) -> bytes:
    user, path, target = (
        text.replace('"', '""') for text in (record.person.user, record.path, record.target)
    )
    return (
        f'{record.person.ip},"{user}",{record.protocol},{record.operation},{record.status},'
        f'{record.object_id},"{path}","{target}"'
    ).encode()


def _json(record: Record, variant: int) -> bytes:
    person = record.person
    details: dict[str, object] = {"path": record.path, "file_id": record.object_id}
    if not record.operation.startswith("fs_"):
        details = {"extra_name": record.path, "second_extra_name": record.target}
    elif record.target:
        details["target"] = record.target
    elif record.size is not None:
        details |= {"offset": 0, "size": record.size, "file_size": record.size}
    user = {"sid": person.sid, "auth_id": person.auth_id, "name": person.user}
    fields: dict[str, object] = {
        "user_id": user,
        "user_ip": person.ip,
        "protocol": record.protocol,
        "operation": record.operation,
        "status": record.status,
        "details": details,
    }
    names = sorted(fields) if variant % 3 == 1 else list(fields)
    text = json.dumps({name: fields[name] for name in names}, ensure_ascii=variant % 5 == 2)
    if variant % 7 == 3:
        # As the vendor's own sample has it, which is not JSON: "AD\alice".
        text = text.replace(json.dumps(person.user)[1:-1], person.user)
    return text.encode()
