"""What Qumulo Broker names: ten file and eight directory operations."""

import json
from typing import Any

import polars as pl
import pytest

from topology import normalized
from topology.formats import CHAINS, decode
from topology.normalize.qumulo_broker import changes

HEADER = "<14>1 2026-01-27T14:12:23Z q-1 qumulo - - - "
FILE_OPERATIONS = {
    "Add file permissions",
    "Add file protection",
    "Change file owner",
    "Create file",
    "Delete file",
    "Read file",
    "Remove file permissions",
    "Remove file protection",
    "Rename file",
    "Write to file",
}
DIRECTORY_OPERATIONS = {
    "Add directory permissions",
    "Add directory protection",
    "Change directory owner",
    "Create directory",
    "Delete directory",
    "Remove directory permissions",
    "Remove directory protection",
    "Rename directory",
}
OWNERS: list[dict[str, Any]] = [
    {"owner": {"sid": "S-1-5-21-1", "auth_id": "500"}},
    {"owner": {"sid": "S-1-5-21-2", "auth_id": "501"}},
]
ACE = {"type": "ALLOWED", "trustee": "a", "rights": ["READ"]}
OTHER = {"type": "DENIED", "trustee": "b", "rights": ["READ"]}


def _acl(entries: list[dict[str, Any]], *control: str) -> dict[str, Any]:
    return {"acl": {"control": ["PRESENT", *control], "aces": entries}}


CHANGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (OWNERS[0], OWNERS[1], "Change {} owner"),
    (_acl([]), _acl([ACE]), "Add {} permissions"),
    (_acl([ACE, OTHER]), _acl([OTHER]), "Remove {} permissions"),
    (_acl([ACE]), _acl([ACE], "PROTECTED"), "Add {} protection"),
    (_acl([ACE], "PROTECTED"), _acl([ACE]), "Remove {} protection"),
]


def _json(before: object, after: object, path: str = "/a", operation: str = "fs_write_metadata"):
    details = {"path": path, "file_id": "1", "before": before, "after": after}
    record = {"user_id": {"name": "a"}, "operation": operation, "details": details}
    return HEADER + json.dumps(record)


def _csv(operation: str, path: str) -> str:
    return HEADER + f'10.0.0.1,"a",smb2,{operation},ok,1,"{path}",""'


def _named(lines: list[str], option: str | None = None) -> list[tuple[list[str] | None, Any]]:
    """Names, and the mark of those that are not verified."""
    raw = pl.DataFrame(
        {"row": range(len(lines)), "raw": [line.encode() for line in lines]},
        schema={"row": pl.UInt32, "raw": pl.Binary},
    )
    events = decode("qumulo", raw, {"broker_operations": option} if option else {}).events
    assert events.height == len(lines)
    nothing = [None] * len(lines)
    name = "unmapped.broker_operations"
    return list(
        zip(
            events[name].to_list() if name in events.columns else nothing,
            events[f"{name}_unverified"].to_list()
            if f"{name}_unverified" in events.columns
            else nothing,
            strict=True,
        )
    )


@pytest.mark.parametrize("rows", [1, 200])
def test_every_operation_of_the_broker_has_its_name(rows: int):
    """All eighteen; only those told by before and after are marked as unverified."""
    plain = [
        *(_csv(f"fs_{word}", "/a") for word in ("create_file", "delete", "read_data", "rename")),
        _csv("fs_write_data", "/a"),
        *(_csv(f"fs_{word}", "/a/") for word in ("create_directory", "delete", "rename")),
    ]
    derived = [_json(before, after, path) for path in ("/a", "/a/") for before, after, _ in CHANGES]
    found = _named((plain + derived) * rows, "all")
    assert found == found[: len(plain + derived)] * rows
    names = [name for each, _ in found[: len(plain + derived)] for name in each or ()]
    assert len(names) == 10 + 8
    assert set(names) == FILE_OPERATIONS | DIRECTORY_OPERATIONS
    assert [mark for _, mark in found[: len(plain)]] == [None] * len(plain)
    assert [mark for _, mark in found[len(plain) : len(plain + derived)]] == [True] * len(derived)


def test_without_the_option_only_changes_of_metadata_are_named():
    """What the operation itself says is in `metadata.event_code` already."""
    found = _named([_csv("fs_delete", "/a"), _json(*OWNERS)])
    assert found == [(None, None), (["Change file owner"], True)]


@pytest.mark.parametrize(("before", "after", "name"), CHANGES)
def test_changes(before: dict[str, Any], after: dict[str, Any], name: str):
    """Each difference has its name."""
    assert changes(json.dumps(before), json.dumps(after)) == (name,)


def test_one_write_may_change_several():
    """All are named."""
    before, after = OWNERS[0] | _acl([ACE]), OWNERS[1] | _acl([OTHER], "PROTECTED")
    assert changes(json.dumps(before), json.dumps(after)) == (
        "Add {} permissions",
        "Remove {} permissions",
        "Add {} protection",
        "Change {} owner",
    )


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ('{"mode":"0644"}', '{"mode":"0664"}', ("Add {} permissions",)),
        ('{"mode":"0664"}', '{"mode":"0644"}', ("Remove {} permissions",)),
        ('{"mode":"0644"}', '{"mode":"0644"}', ()),
        ('{"mode":"rw-"}', '{"mode":"0644"}', ()),
        ('{"acl":[]}', '{"acl":[{"a":1}]}', ("Add {} permissions",)),
        ('{"acl":"x"}', '{"acl":[1]}', ()),
        ('{"acl":{"aces":1,"control":2}}', '{"acl":{"aces":[],"control":["PROTECTED"]}}', ()),
        ("{}", '{"acl":[1]}', ()),
        ("{}", '{"owner":{"sid":"a"}}', ()),
        ('{"owner":{"sid":"a"}}', '{"owner":{"auth_id":"5"}}', ()),
        ('{"owner":{"sid":"a","auth_id":"5"}}', '{"owner":{"sid":"a"}}', ()),
        ('{"owner":null,"acl":null,"mode":null}', '{"owner":1,"acl":1,"mode":1}', ()),
        ("[1]", "null", ()),
        ("{", "", ()),
    ],
)
def test_what_is_not_certain_has_no_name(before: str, after: str, names: tuple[str, ...]):
    """Nothing is invented where only one side says something, whatever the shape."""
    assert changes(before, after) == names


@pytest.mark.parametrize("rows", [1, 200])
def test_a_record_that_says_less_has_no_name(rows: int):
    """The documentation's own sample has the owner on both sides, unchanged; other operations with
    before and after, and CSV, have no changes to name."""
    lines = [
        _json(OWNERS[0] | {"mtime": "1"}, OWNERS[0] | {"mtime": "2"}),
        _json(*OWNERS, operation="fs_write_user_metadata"),
        _json(None, OWNERS[0]),
        _json("text", OWNERS[0]),
        _csv("fs_write_metadata", "/a"),
    ]
    assert _named(lines * rows) == [(None, None)] * len(lines) * rows


def test_names_go_through_the_topic_of_normalized_events():
    """A list is a list on the other side."""
    raw = pl.DataFrame(
        {"row": [0], "raw": [_json(*OWNERS).encode()]},
        schema={"row": pl.UInt32, "raw": pl.Binary},
    )
    events = decode("qumulo", raw, {}).events
    values = normalized.encode(events).alias("value")
    (again,) = normalized.decode(pl.DataFrame([events["row"], values]))
    assert again["unmapped.broker_operations"].to_list() == [["Change file owner"]]


def test_the_option_is_one_of_both_forms():
    """Syslog and CloudWatch, and takes two values."""
    for name in ("qumulo", "qumulo-cloudwatch"):
        option = CHAINS[name].options["broker_operations"]
        assert option.expected("all") is None
        assert option.expected("changes") is None
        assert option.expected("some") is not None
