"""All names that Qumulo documents are known: 171 operations and 76 errors.

qumulo_documented.json has them as the documentation lists them (How Audit Logging Works, 2024-10).
"""

import json
from pathlib import Path

import polars as pl
import pytest

from app.commands.parse import event_texts
from schemas import ocsf
from tests.normalize.test_golden import _validator
from topology.formats import decode
from topology.normalize import qumulo_vocabulary as vocabulary

DOCUMENTED = json.loads((Path(__file__).parent / "qumulo_documented.json").read_text("utf-8"))
LISTS = ("connectivity", "smb_specific", "audit_logging", "file_system", "rest_api")
OPERATIONS = [name for each in LISTS for name in DOCUMENTED[each]]
ERRORS = [name for key in ("credential_errors", "fs_errors") for name in DOCUMENTED[key]]
RECEIVED = 1_769_523_200_000


def _lines(operations: list[str], statuses: list[str]) -> list[str]:
    return [
        f'<14>1 2026-01-27T14:12:23Z q-1 qumulo - - - ::1,"a",smb2,{operation},{status},1,"/a",""'
        for operation, status in zip(operations, statuses, strict=True)
    ]


def _events(lines: list[str]) -> pl.DataFrame:
    raw = pl.DataFrame(
        {"row": range(len(lines)), "raw": [line.encode() for line in lines]},
        schema={"row": pl.UInt32, "raw": pl.Binary},
    )
    decoded = decode("qumulo", raw, {})
    assert decoded.failures.height == 0
    return decoded.events


def test_the_documentation_has_so_many():
    """Each once."""
    assert [len(DOCUMENTED[each]) for each in LISTS] == [7, 4, 2, 23, 135]
    assert len(set(OPERATIONS)) == 171
    assert len(set(ERRORS)) == len(ERRORS) == 76


def test_all_documented_operations_are_known():
    """None is an unknown one; two more were met in samples."""
    assert set(OPERATIONS) <= vocabulary.OPERATIONS.keys()
    more = {"begin_audit_modify_syslog_config", "cluster_restart"}
    assert vocabulary.OPERATIONS.keys() - set(OPERATIONS) == more


@pytest.mark.parametrize("rows", [1, 3])
def test_each_operation_is_its_event(rows: int):
    """Class and activity are those of the vocabulary, the name is kept, few rows or many."""
    operations = OPERATIONS * rows
    events = _events(_lines(operations, ["ok"] * len(operations)))
    assert events["metadata.event_code"].to_list() == operations
    seen = events.select("class_uid", "activity_id", "activity_name").rows()
    known = [vocabulary.OPERATIONS[name] for name in operations]
    assert seen == [(each.class_uid, each.activity_id, each.activity_name) for each in known]
    assert events["type_uid"].to_list() == [
        each.class_uid * 100 + each.activity_id for each in known
    ]


def test_each_operation_validates_against_ocsf():
    """The published schema of its class takes the event."""
    lines = [line.encode() for line in _lines(OPERATIONS, ["ok"] * len(OPERATIONS))]
    for text in event_texts(lines, "qumulo", {}, RECEIVED):
        event = json.loads(text)
        faults = list(_validator(event["class_uid"], ()).iter_errors(event))
        assert [f"{fault.json_path}: {fault.message}" for fault in faults] == [], event


@pytest.mark.parametrize("rows", [1, 3])
def test_each_error_is_a_failure_of_its_name(rows: int):
    """Whether its name ends in `_error` or not; refused ones are of low severity at least."""
    errors = ERRORS * rows
    events = _events(_lines(["fs_read_data"] * len(errors), errors))
    assert events["status_code"].to_list() == errors
    assert events["status"].unique().to_list() == ["Failure"]
    assert events["status_id"].unique().to_list() == [2]
    refused = vocabulary.DENIED | vocabulary.CREDENTIALS
    assert events["severity_id"].to_list() == [2 if name in refused else 1 for name in errors]
    assert events["class_uid"].unique().to_list() == [ocsf.FILE_HOSTING]


def test_classes_of_errors_are_documented_names():
    """A slip in one of these sets would class an error that no cluster sends."""
    elsewhere = {
        "api_permission_denied_error",
        "fs_no_space_error",
        "http_unauthorized_error",
        "share_fs_path_doesnt_exist_error",
    }
    assert vocabulary.STATUS_CLASSES.keys() - elsewhere <= set(ERRORS)
