"""Free ports, for processes that listen on them a moment later."""

import pytest

from app.broker import ports


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on the first one yet when the next is chosen."""
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr(ports, "HIGHEST", ports.LOWEST + 60)
    given = [ports.free("127.0.0.1") for _ in range(8)]
    given += [ports.free("127.0.0.1", 2) + number for number in range(2)]
    assert len(set(given)) == len(given) == 10
