"""What the names in a Windows event mean, by the path that XML and the forwarders' JSON give them.

Sources: the Event schema of Windows Event Log (SystemPropertiesType); Winlogbeat's exported fields;
NXLog's im_msvistalog; Fluent Bit's winevtlog.
"""

from functools import lru_cache
from typing import Final, NamedTuple

COLUMNS: Final = (
    "provider",
    "provider_guid",
    "event_id",
    "qualifiers",
    "version",
    "level",
    "task",
    "opcode",
    "keywords",
    "time",
    "record_id",
    "activity_id",
    "related_activity_id",
    "process_id",
    "thread_id",
    "channel",
    "computer",
    "user_sid",
    "msg",
)
DATA: Final = -1
DROPPED: Final = -2
"""Dropped where empty: elements that have nothing but attributes."""
NAME_OF_NEXT: Final = -3
"""The name of the pair that comes next."""

NAMES: Final = {
    "provider": "Event.System.Provider.Name winlog.provider_name ProviderName SourceName",
    "provider_guid": "Event.System.Provider.Guid winlog.provider_guid ProviderGuid",
    "event_id": "Event.System.EventID winlog.event_id EventID",
    "qualifiers": "Event.System.EventID.Qualifiers Qualifiers",
    "version": "Event.System.Version winlog.version Version",
    "level": "Event.System.Level log.level Level",
    "task": "Event.System.Task winlog.task Task",
    "opcode": "Event.System.Opcode winlog.opcode OpcodeValue Opcode",
    "keywords": "Event.System.Keywords Keywords",
    "time": "Event.System.TimeCreated.SystemTime @timestamp EventTime TimeCreated",
    "record_id": "Event.System.EventRecordID winlog.record_id RecordNumber EventRecordID",
    "activity_id": "Event.System.Correlation.ActivityID winlog.activity_id ActivityID",
    "related_activity_id": "Event.System.Correlation.RelatedActivityID winlog.related_activity_id",
    "process_id": "Event.System.Execution.ProcessID winlog.process.pid "
    "ExecutionProcessID ProcessID",
    "thread_id": "Event.System.Execution.ThreadID winlog.process.thread.id "
    "ExecutionThreadID ThreadID",
    "channel": "Event.System.Channel winlog.channel Channel",
    "computer": "Event.System.Computer winlog.computer_name Hostname Computer",
    "user_sid": "Event.System.Security.UserID winlog.user.identifier UserID",
    "msg": "Event.RenderingInfo.Message message Message",
}
BY_NAME: Final = {
    path: COLUMNS.index(column) for column, paths in NAMES.items() for path in paths.split()
}
EMPTY: Final = frozenset(
    f"Event.System.{element}"
    for element in ("Provider", "TimeCreated", "Correlation", "Execution", "Security")
)
EVENT_DATA: Final = "Event.EventData.Data"
PREFIXES: Final = ("Event.EventData.", "winlog.event_data.", "winlog.user_data.", "Event.")
USER_DATA: Final = "Event.UserData."


class Target(NamedTuple):
    """Where a pair belongs: the number of a column, or one of the constants. `name`: what it is
    called among the data; `takes_name`: 1 if a NAME_OF_NEXT before it says that."""

    column: int
    name: str
    takes_name: int = 0


@lru_cache(maxsize=16_384)
def target(written: str) -> Target:
    """`written`: a path as xml.py has it, or of JSON."""
    path = written if written.startswith("@") else written.replace("@", ".")
    if path == EVENT_DATA:
        return Target(DATA, "Data", 1)
    if path == EVENT_DATA + ".Name":
        return Target(NAME_OF_NEXT, "Data.Name")
    if path in BY_NAME:
        return Target(BY_NAME[path], path)
    if path in EMPTY:
        return Target(DROPPED, path.removeprefix("Event."))
    if path.startswith(USER_DATA):
        _, _, inner = path.removeprefix(USER_DATA).partition(".")
        return Target(DATA, inner or path.removeprefix("Event."))
    for prefix in PREFIXES:
        if path.startswith(prefix):
            return Target(DATA, path.removeprefix(prefix))
    return Target(DATA, path)
