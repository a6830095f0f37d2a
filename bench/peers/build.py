"""Builds the Java peers with what the machine has: javac, else ecj on the Java that was found."""

import hashlib
import subprocess
from pathlib import Path

from app.broker.errors import BrokerError
from app.broker.jars import class_path
from app.broker.java import find_java

PEERS = Path(__file__).parent
RELEASE = "17"
COMPILE_S = 120.0


def build(peer: str, target: Path = Path("build/peers")) -> list[Path]:
    """Compile bench/peers/<peer> into `target`: the class path to run it with.

    Raises BrokerError when its jars cannot be had or a source does not compile.
    """
    folder = PEERS / peer
    jars = class_path(folder / "jars.lock")
    sources = sorted(folder.rglob("*.java"))
    mark = hashlib.sha256(
        b"".join(source.read_bytes() for source in [folder / "jars.lock", *sources])
    )
    classes = (target / peer / mark.hexdigest()[:16]).absolute()
    done = classes / ".complete"
    if not done.exists():
        compiler = _compiler(jars)
        run = subprocess.run(
            [
                *compiler,
                *("-source", RELEASE, "-target", RELEASE, "-encoding", "UTF-8"),
                *("-proc:none", "-nowarn", "-d", str(classes), "-cp", ":".join(map(str, jars))),
                *map(str, sources),
            ],
            capture_output=True,
            text=True,
            timeout=COMPILE_S,
            check=False,
        )
        if run.returncode:
            raise BrokerError(
                f"{folder} does not compile with {compiler[0]}:\n{run.stderr[-4000:]}"
            )
        done.touch()
    return [classes, *(jar for jar in jars if not jar.name.startswith("ecj-"))]


def _compiler(jars: list[Path]) -> list[str]:
    java = find_java().program
    javac = java.with_name("javac")
    if javac.exists():
        return [str(javac)]
    ecj = next(jar for jar in jars if jar.name.startswith("ecj-"))
    return [str(java), "-jar", str(ecj)]
