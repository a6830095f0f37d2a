"""Files with secrets: nobody else's, whole or not there, and on disk."""

import os
from pathlib import Path

import pytest

from app.broker.private_file import write_private


def test_a_secret_outlives_the_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA's key or the cluster's id that is an empty file after it means new bundles for every
    tenant, or a cluster that does not start. So the content is on disk before the name is, and both
    are before anybody goes by them."""
    file = tmp_path / "ca.key"
    synced = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        where = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(
            (where.name, where.stat().st_size if where.is_file() else None, file.exists())
        )

    monkeypatch.setattr(os, "fsync", note)
    write_private(file, b"secret")
    assert synced == [(".ca.key.part", 6, False), (tmp_path.name, None, True)]
    assert file.read_bytes() == b"secret"
    assert file.stat().st_mode & 0o777 == 0o600
