"""The stems of event uids follow the topics that are there."""

import pytest

from app import origins
from app.origins import Origins


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of the topics that are there."""
    there = {"raw.a": "one", "raw.b": "two"}

    def identity(_: object, topics: list[str]) -> tuple[str, dict[str, str]]:
        return "cluster", {topic: there[topic] for topic in topics if topic in there}

    monkeypatch.setattr(origins.admin, "identity", identity)
    return there


def test_a_topic_that_was_made_anew_has_another_stem(ids: dict[str, str]) -> None:
    """Else its first event would have the uid of the old one's first, and who drops what he has
    seen would drop it."""
    found = Origins({"bootstrap.servers": "127.0.0.1:1"}, ["raw.a", "raw.b"])
    before = dict(found)
    ids["raw.a"] = "three"
    assert dict(found) == before
    found.forget("raw.a")
    assert found["raw.b"] == before["raw.b"]
    assert found["raw.a"] not in before.values()


def test_a_topic_that_is_away_keeps_no_other_from_its_stem(ids: dict[str, str]) -> None:
    """Workers go on with the sources whose topics are there, and with it once it is back."""
    gone = ids.pop("raw.a")
    found = Origins({"bootstrap.servers": "127.0.0.1:1"}, ["raw.a", "raw.b"])
    assert list(found) == ["raw.b"]
    with pytest.raises(KeyError):
        found["raw.a"]
    ids["raw.a"] = gone
    assert found["raw.a"] != found["raw.b"]
