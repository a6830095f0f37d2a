"""What Qumulo's names become in OCSF."""

import polars as pl
import pytest

from schemas import ocsf
from topology.formats import decode
from topology.normalize import qumulo_vocabulary as vocabulary
from topology.normalize.qumulo_attributes import classify, identify, locate

HEADER = "<14>1 2026-01-27T14:12:23.9558Z q-7-1 qumulo - - - "


def _event(operation: str, **values: str) -> dict[str, object]:
    given = {"ip": "10.0.0.1", "user": "a", "protocol": "smb2", "status": "ok", "id": "1"}
    given |= {"path": "/d/f.txt", "target": ""} | values
    line = HEADER + '{ip},"{user}",{protocol},{operation},{status},{id},"{path}","{target}"'.format(
        operation=operation, **given
    )
    raw = pl.DataFrame(
        {"row": [0], "raw": [line.encode()]}, schema={"row": pl.UInt32, "raw": pl.Binary}
    )
    return decode("qumulo", raw, {}).events.row(0, named=True)


@pytest.mark.parametrize(
    ("operation", "class_uid", "activity_id"),
    [
        ("fs_create_file", ocsf.FILE_HOSTING, 1),
        ("fs_create_public_key", ocsf.API_ACTIVITY, 1),
        ("fs_read_data", ocsf.FILE_HOSTING, 2),
        ("fs_sample", ocsf.API_ACTIVITY, 2),
        ("fs_write_data", ocsf.FILE_HOSTING, 3),
        ("fs_modify_atime_settings", ocsf.API_ACTIVITY, 3),
        ("fs_delete", ocsf.FILE_HOSTING, 4),
        ("fs_tree_delete", ocsf.FILE_HOSTING, 4),
        ("fs_delete_public_key", ocsf.API_ACTIVITY, 4),
        ("fs_rename", ocsf.FILE_HOSTING, 5),
        ("fs_open", ocsf.FILE_HOSTING, 14),
        ("fs_read_metadata", ocsf.FILE_HOSTING, 99),
        ("fs_release_nlm_locks_by_file", ocsf.API_ACTIVITY, 99),
        ("smb_login", ocsf.AUTHENTICATION, 1),
        ("smb_close_session", ocsf.AUTHENTICATION, 2),
        ("share_connect", ocsf.FILE_HOSTING, 99),
        ("never_heard_of_it", ocsf.API_ACTIVITY, 99),
        ("fs_never_heard_of_it", ocsf.API_ACTIVITY, 99),
    ],
)
def test_operations_are_classified_by_exact_name(operation: str, class_uid: int, activity_id: int):
    """A prefix says nothing; an unknown operation is an event all the same."""
    event = _event(operation)
    assert (event["class_uid"], event["activity_id"]) == (class_uid, activity_id)
    assert event["type_uid"] == class_uid * 100 + activity_id
    assert event["metadata.event_code"] == event["@operation"] == operation


@pytest.mark.parametrize(
    ("status", "status_id", "severity_id", "detail"),
    [
        ("ok", 1, 1, None),
        ("fs_access_denied_error", 2, 2, "Access denied"),
        ("cred_error", 2, 2, "Credentials refused"),
        ("fs_no_such_entry_error", 2, 1, "Not found"),
        ("fs_user_metadata_key_not_found", 2, 1, "Not found"),
        ("a_new_error", 2, 1, None),
        ("okay", 2, 1, None),
        ("", 0, 1, None),
    ],
)
def test_status(status: str, status_id: int, severity_id: int, detail: str | None):
    """Ok or not ok, never by suffix; denials are a class of their own."""
    event = _event("fs_delete", status=status)
    assert (event["status_id"], event["severity_id"]) == (status_id, severity_id)
    assert event.get("status_detail") == detail
    assert event.get("status_code") == (status or None)


def test_what_precedes_damage_is_of_medium_severity():
    """Bulk deletion, snapshots and the audit configuration, whether it worked or not."""
    for operation in vocabulary.SENSITIVE:
        assert classify("api", operation, "ok")[6] == 3
        assert classify("api", operation, "fs_access_denied_error")[6] == 3


@pytest.mark.parametrize(
    ("protocol", "name", "version"),
    [
        ("smb2", "smb", "2"),
        ("nfs3", "nfs", "3"),
        ("nfsv3", "nfs", "3"),
        ("nfsv4.1", "nfs", "4.1"),
        ("api", "rest", None),
        ("s3", "s3", None),
        ("webdav", "webdav", None),
    ],
)
def test_protocols(protocol: str, name: str, version: str | None):
    """Name and version, and what was logged."""
    event = _event("fs_open", protocol=protocol)
    assert event["connection_info.protocol_name"] == name
    assert event.get("connection_info.protocol_ver") == version
    assert event["unmapped.protocol"] == protocol


@pytest.mark.parametrize(
    ("user", "name", "domain", "uid"),
    [
        ("AD\\alice", "alice", "AD", None),
        ("alice", "alice", None, None),
        ("1000", None, None, "1000"),
        ("S-1-5-21-1-2-3-1104", None, None, "S-1-5-21-1-2-3-1104"),
        ("S-1-not", "S-1-not", None, None),
        ("alice@corp.example", "alice@corp.example", None, None),
    ],
)
def test_users(user: str, name: str | None, domain: str | None, uid: str | None):
    """Domain and name, or what stands in for them; `@user` is as logged."""
    event = _event("fs_open", user=user)
    seen = tuple(event.get(f"actor.user.{part}") for part in ("name", "domain", "uid"))
    assert seen == (name, domain, uid)
    assert event["@user"] == user


def test_json_ids_of_a_user_stand_beside_the_name():
    """The SID is the id, and Qumulo's own id the other."""
    assert identify("AD\\alice", "S-1-5-21", "500", False)[:4] == ("alice", "AD", "S-1-5-21", "500")


@pytest.mark.parametrize(
    ("host", "cluster"),
    [("q144-12", "q144"), ("nas-2024-prod-3", "nas-2024-prod"), ("10-20-30", "10-20"), ("q", "q")],
)
def test_cluster_is_the_host_without_its_last_number(host: str, cluster: str):
    """Clusters may have numbers and dashes themselves."""
    assert locate(host, "::1") == ("::1", None, host, cluster)


def test_object_ids_stay_text_digit_by_digit():
    """97 bits fit no number."""
    assert _event("fs_open", id="140624751830626345080086044861")["file.uid"] == (
        "140624751830626345080086044861"
    )


def test_rename_says_where_to():
    """The source is `file`, the target `file_result`."""
    event = _event("fs_rename", path="/d/a.docx", target="/e/a.docx.lockbit")
    assert (event["file.name"], event["file_result.name"]) == ("a.docx", "a.docx.lockbit")
    assert (event["file.ext"], event["file_result.ext"]) == ("docx", "lockbit")
    assert event["file_result.parent_folder"] == "/e"
