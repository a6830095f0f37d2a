"""Qumulo's operations, statuses and protocols, and what each is in OCSF 1.6.0.

By exact name, never by prefix: `fs_create_public_key` is management, `fs_create_file` is not, and
statuses such as `fs_user_metadata_key_not_found` do not end in `_error`. The lists are open; names
that are not here still give events. Names: Qumulo documentation, "How Audit Logging Works".
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from schemas import ocsf

REGULAR_FILE: Final = 1
FOLDER: Final = 2
SYMBOLIC_LINK: Final = 7


class Operation(NamedTuple):
    """OCSF class and activity; `file_type`: type_id of the file when its path does not say."""

    class_uid: int
    activity_id: int
    activity_name: str
    file_type: int = REGULAR_FILE


def _file(activity_id: int, name: str, file_type: int = REGULAR_FILE) -> Operation:
    return Operation(ocsf.FILE_HOSTING, activity_id, name, file_type)


FILE_OPERATIONS: Final[Mapping[str, Operation]] = {
    "fs_copy_chunk": _file(6, "Copy"),
    "fs_create": _file(1, "Upload"),
    "fs_create_directories": _file(1, "Upload", FOLDER),
    "fs_create_directory": _file(1, "Upload", FOLDER),
    "fs_create_file": _file(1, "Upload"),
    "fs_create_hard_link": _file(1, "Upload"),
    "fs_create_stream": _file(1, "Upload"),
    "fs_create_symlink": _file(1, "Upload", SYMBOLIC_LINK),
    "fs_delete": _file(4, "Delete"),
    "fs_fsstat": _file(99, "Read File System Attributes"),
    "fs_list_directory": _file(99, "List", FOLDER),
    "fs_open": _file(14, "Open"),
    "fs_read_data": _file(2, "Download"),
    "fs_read_link": _file(99, "Read Link", SYMBOLIC_LINK),
    "fs_read_metadata": _file(99, "Read Metadata"),
    "fs_read_user_metadata": _file(99, "Read User Metadata"),
    "fs_rename": _file(5, "Rename"),
    "fs_set_quota": _file(99, "Set Quota", FOLDER),
    "fs_tree_delete": _file(4, "Delete", FOLDER),
    "fs_write_data": _file(3, "Update"),
    "fs_write_file_lock": _file(10, "Lock"),
    "fs_write_metadata": _file(99, "Write Metadata"),
    "fs_write_user_metadata": _file(99, "Write User Metadata"),
    "nfs_mount": _file(99, "Mount", FOLDER),
    "share_connect": _file(99, "Connect", FOLDER),
    "smb2_notify_req": _file(99, "Watch", FOLDER),
    "smb_close_handle": _file(99, "Close"),
}
SHARES: Final = frozenset(["nfs_mount", "share_connect"])
"""Their path is the share or export itself."""
AUTHENTICATION_OPERATIONS: Final[Mapping[str, Operation]] = {
    "ftp_login": Operation(ocsf.AUTHENTICATION, 1, "Logon"),
    "rest_login": Operation(ocsf.AUTHENTICATION, 1, "Logon"),
    "smb_login": Operation(ocsf.AUTHENTICATION, 1, "Logon"),
    "smb_close_session": Operation(ocsf.AUTHENTICATION, 2, "Logoff"),
}

CREATE: Final = """
    auth_add_group auth_create_access_token auth_create_role auth_create_user cluster_add_nodes
    cluster_generate_vpn_private_key dns_create encryption_create_key fs_create_public_key
    identity_create network_create_config nfs_create_export replication_create_object_relationship
    replication_create_source_relationship s3_add_bucket s3_create_key smb_create_share
    snapshot_create_policy snapshot_create_snapshot tenant_create
"""
READ: Final = """
    auth_get_access_token auth_get_access_tokens cluster_calculate_node_add_capacity
    cluster_modify_nodes_dry_run fs_sample s3_bucket_policy_explain_access s3_get_bucket_policy
"""
UPDATE: Final = """
    ad_modify_settings ad_reconfigure audit_modify_cloudwatch_config audit_modify_syslog_config
    auth_add_member_to_group auth_assign_role auth_modify_access_token auth_modify_group
    auth_modify_identity_attributes auth_modify_role auth_modify_user auth_modify_user_password
    auth_remove_member_from_group auth_set_user_defined_mappings auth_unassign_role
    begin_audit_modify_syslog_config cluster_install_vpn_keys cluster_modify_config
    cluster_modify_monitoring_config cluster_modify_nodes cluster_modify_upgrade_config dns_modify
    dns_set_lookup_overrides encryption_rotate_keys encryption_update_config
    fs_modify_atime_settings fs_modify_notify_settings fs_modify_permissions_settings
    fs_modify_public_key fs_replace_public_key ftp_modify_settings identity_modify
    kerberos_modify_settings kerberos_set_keytab ldap_modify_settings network_modify_config
    network_modify_interface nfs_modify_export nfs_modify_settings node_set_identify_light
    replication_authorize_target_relationship replication_make_target_writable
    replication_modify_source_relationship replication_reverse_target_relationship s3_modify_bucket
    s3_modify_settings s3_put_bucket_policy saml_modify_settings session_change_password
    smb_modify_settings smb_modify_share snapshot_lock_snapshot snapshot_modify_policy
    snapshot_modify_snapshot snapshot_unlock_snapshot snapshot_unlock_snapshot_challege
    ssl_modify_ca_certificate ssl_modify_certificate tenant_modify time_modify_config
    web_ui_modify_settings
"""
DELETE: Final = """
    auth_delete_access_token auth_delete_group auth_delete_identity_attributes auth_delete_role
    auth_delete_user dns_delete fs_delete_public_key identity_delete kerberos_delete_keytab
    network_delete_config nfs_delete_export nfs_delete_settings
    replication_delete_object_relationship replication_delete_source_relationship
    replication_delete_target_relationship s3_delete_bucket s3_delete_key smb_delete_settings
    smb_delete_share snapshot_delete_policy snapshot_delete_snapshot ssl_delete_ca_certificate
    tenant_delete tree_delete_start
"""
ACTION: Final = """
    ad_cancel_operation ad_dismiss_error ad_join ad_kerberos_renew_ticket ad_leave
    cluster_initiate_node_replacement_plan cluster_locate_disk_slot
    cluster_nodes_resolve_indeterminate_modification cluster_restart
    fs_release_nlm_locks_by_client fs_release_nlm_locks_by_file node_halt node_restart reboot_pause
    reboot_resume reboot_start remote_syslog_shutdown remote_syslog_startup replication_abort
    replication_abort_object_relationship replication_dismiss_source_relationship_error
    replication_dismiss_target_relationship_error replication_reconnect_target_relationship
    replication_release_queued_snapshot replication_replicate_object_relationship replication_start
    replication_target_relationship_lock s3_abort_upload shutdown_halt tree_delete_cancel
"""

OPERATIONS: Final[Mapping[str, Operation]] = {
    **FILE_OPERATIONS,
    **AUTHENTICATION_OPERATIONS,
    **{name: Operation(ocsf.API_ACTIVITY, 1, "Create") for name in CREATE.split()},
    **{name: Operation(ocsf.API_ACTIVITY, 2, "Read") for name in READ.split()},
    **{name: Operation(ocsf.API_ACTIVITY, 3, "Update") for name in UPDATE.split()},
    **{name: Operation(ocsf.API_ACTIVITY, 4, "Delete") for name in DELETE.split()},
    **{name: Operation(ocsf.API_ACTIVITY, 99, name) for name in ACTION.split()},
}

SENSITIVE: Final = frozenset(
    [
        "audit_modify_cloudwatch_config",
        "audit_modify_syslog_config",
        "auth_assign_role",
        "auth_create_access_token",
        "auth_modify_user_password",
        "begin_audit_modify_syslog_config",
        "encryption_rotate_keys",
        "fs_tree_delete",
        "nfs_modify_export",
        "remote_syslog_shutdown",
        "replication_make_target_writable",
        "s3_put_bucket_policy",
        "smb_modify_share",
        "snapshot_delete_policy",
        "snapshot_delete_snapshot",
        "snapshot_unlock_snapshot",
        "snapshot_unlock_snapshot_challege",
        "tree_delete_start",
    ]
)
"""What an intruder does before or during damage; severity Medium."""

OK: Final = "ok"
DENIED: Final = frozenset(
    [
        "api_permission_denied_error",
        "fs_access_denied_error",
        "fs_access_error",
        "fs_access_perm_not_owner_error",
        "fs_already_read_only_error",
        "fs_read_only_error",
        "http_unauthorized_error",
    ]
)
CREDENTIALS: Final = frozenset(
    [
        "cred_error",
        "cred_identity_not_supported_error",
        "cred_invalid_local_user_error",
        "cred_invalid_sid_error",
        "cred_remote_resource_unavailable_error",
    ]
)
NOT_FOUND: Final = frozenset(
    [
        "fs_no_such_entry_error",
        "fs_no_such_file_version_error",
        "fs_no_such_inode_error",
        "fs_no_such_path_error",
        "fs_user_metadata_key_not_found",
        "share_fs_path_doesnt_exist_error",
    ]
)
EXISTS: Final = frozenset(
    [
        "fs_entry_exists_error",
        "fs_user_metadata_key_already_exists",
    ]
)
NO_SPACE: Final = frozenset(["fs_no_space_error", "fs_quota_no_space_error"])
STATUS_CLASSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(DENIED, "Access denied"),
    **dict.fromkeys(CREDENTIALS, "Credentials refused"),
    **dict.fromkeys(NOT_FOUND, "Not found"),
    **dict.fromkeys(EXISTS, "Already exists"),
    **dict.fromkeys(NO_SPACE, "No space"),
}

INTERNAL: Final = "internal"
PROTOCOLS: Final[Mapping[str, tuple[str, str | None]]] = {
    "api": ("rest", None),
    "ftp": ("ftp", None),
    INTERNAL: (INTERNAL, None),
    "nfs": ("nfs", None),
    "nfs3": ("nfs", "3"),
    "nfsv3": ("nfs", "3"),
    "nfs4": ("nfs", "4"),
    "nfsv4": ("nfs", "4"),
    "nfs4.1": ("nfs", "4.1"),
    "nfsv4.1": ("nfs", "4.1"),
    "s3": ("s3", None),
    "smb": ("smb", None),
    "smb2": ("smb", "2"),
    "smb3": ("smb", "3"),
}
"""As documented, and as met on the wire: name and version."""
