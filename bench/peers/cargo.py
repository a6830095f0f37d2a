"""Builds the Rust peers with the cargo that the machine has."""

import hashlib
import shutil
import subprocess
from pathlib import Path

PEERS = Path(__file__).parent
BUILD_S = 1_800.0


def build(peer: str, target: Path = Path("build/peers")) -> Path:
    """Compile bench/peers/<peer> below `target`: its program.

    Raises RuntimeError when there is no cargo or a source does not compile.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise RuntimeError("no cargo found: install Rust 1.95 or newer, which builds this peer")
    sources = [PEERS / peer / "Cargo.toml", *sorted((PEERS / peer / "src").rglob("*.rs"))]
    mark = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    place = (target / peer / mark[:16]).absolute()
    program = place / "target" / "release" / f"{peer}-peer"
    if not program.exists():
        shutil.copytree(PEERS / peer, place, dirs_exist_ok=True)
        run = subprocess.run(
            [cargo, "build", "--release", "--ignore-rust-version"],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"{PEERS / peer} does not compile:\n{run.stderr[-4000:]}")
    return program
