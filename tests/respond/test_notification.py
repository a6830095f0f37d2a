"""What a response reads of an alert, and what it makes of it in texts and JSON."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.respond.notification import read
from app.respond.texts import filled, text
from tests.respond.findings import alert, event_finding, finding


def test_keys() -> None:
    """A key says alert, response and what is told: equal for the same, different for all else."""
    assert alert(7).key == "uid-7.page.first"
    assert read(finding(7, count=101), "page").key == alert(7).key
    others = {
        alert(8).key,
        alert(7, "final").key,
        alert(7, "superseded").key,
        read(finding(7), "mail").key,
    }
    assert len({alert(7).key, *others}) == 5


def test_first() -> None:
    """What is first heard of an alert: the provisional one, and a final one without that."""
    assert alert().first
    assert not alert(state="final").first
    assert read(event_finding(), "page").first
    assert read(event_finding(), "page").key == "uid-0.page.final"


@pytest.mark.parametrize("value", [b"{", b"[]", b"{}", b'{"finding_info":{"uid":"a"}}', b"\xff"])
def test_no_alert(value: bytes) -> None:
    """What is no alert in ocsf-json is told so."""
    with pytest.raises(ValueError, match=r"no alert|no JSON object|str|char|expected"):
        read(value, "page")


def test_templates() -> None:
    """Attributes in texts: times for people, lists with commas, nothing for what is absent."""
    found = alert(1).attributes
    assert text("{severity}: {finding_info.title} ({count})", found) == (
        "High: Mass delete by one user (100)"
    )
    assert text("{unmapped.rule.tags}", found) == "attack.impact, attack.t1485.001"
    assert text("at {time}{no.such}.", found) == "at 2025-11-27T12:00:00.001Z."
    assert text("{{}} {response.key}", found) == "{} uid-1.page.first"
    assert text("{unmapped.group.actor.user.name}", found) == 'AD\\"eve"'


def test_json() -> None:
    """A text that is one attribute becomes its value; all others stay texts."""
    found = alert(1).attributes
    body = {"n": "{count}", "t": "n {count}", "x": ["{unmapped.group}", "{no.such}"], "c": 5}
    assert filled(body, found) == {
        "n": 100,
        "t": "n 100",
        "x": [{"actor.user.name": 'AD\\"eve"'}, None],
        "c": 5,
    }


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_breaks_out_of_json(value: str) -> None:
    """What an alert says adds no member to the JSON that a receiver is sent."""
    body = {"text": "user {actor}"}
    made = orjson.dumps(filled(body, {"actor": value}))
    assert orjson.loads(made) == {"text": f"user {value}"}
