"""Who is said to have changed something."""

import os
import pwd
from typing import NoReturn

import pytest

from app import audit


def test_a_user_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user its image does not know: what was changed is audited, and the
    command does not end in the middle."""

    def unknown(_: int) -> NoReturn:
        raise KeyError("uid not found")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert audit.actor().startswith(f"uid {os.getuid()}@")
