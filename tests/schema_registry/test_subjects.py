"""Schemas of tenants in a registry: registered once at a start, and every refusal says what to do.

The registry is tests/schema_registry/server.py.
"""

import datetime as dt
import json
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from app.broker import certificates
from app.config import Config, ConfigError, load
from app.schema_registry.subjects import KEPT, opened, schema_ids
from schemas import codec, event
from tests.schema_registry.server import State, serving

PASSWORD = "Pa55-of-the-registry"
SCHEMA = codec.text(event.RECORD)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Config]:
    """northbound.yaml with two tenants with avro and one without, and this for the registry."""

    def write(url: str, **options: object) -> Config:
        content = {
            "version": 1,
            "kafka": {"external": {"bootstrap": "localhost:1"}, "topic_prefix": "eu."},
            "sources": {"q": {"format": "qumulo"}},
            "tenants": {
                "acme": {"sources": ["q"], "format": "avro"},
                "brief": {"sources": ["q"], "format": "avro", "feeds": ["alerts"]},
                "other": {"sources": ["q"]},
            },
            "schema_registry": {"urls": [url], **options},
        }
        file = tmp_path / "northbound.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return load(file)

    return write


def refusal(config: Config) -> str:
    """What a start that stops says."""
    with pytest.raises(ConfigError) as found:
        schema_ids(config)
    return str(found.value)


def test_subjects_are_named_by_topic_and_registered_once(written: Callable[..., Config]) -> None:
    """Each feed with avro has its subject at the level BACKWARD; a second start changes nothing."""
    state = State()
    with serving(state) as url:
        config = written(url)
        found = schema_ids(config)
        assert found == {"acme": {"events": 7, "alerts": 7}, "brief": {"alerts": 7}}
        assert list(state.subjects) == [
            f"eu.northbound.{name}-value" for name in ("acme.events", "acme.alerts", "brief.alerts")
        ]
        assert set(state.levels.values()) == {"BACKWARD"}
        assert all(versions == [SCHEMA] for versions in state.subjects.values())
        before = len(state.asked)
        assert schema_ids(config) == found
        assert {each.split()[0] for each in state.asked[before:]} == {"POST"}
        assert all(each.endswith("-value") for each in state.asked[before:])


def test_nobody_is_asked_without_avro(written: Callable[..., Config]) -> None:
    """A registry that is away stops nobody who does not need it."""
    config = written("http://localhost:1")
    assert schema_ids(config, ["other"]) == {}
    bare = config.model_copy(update={"schema_registry": None})
    assert schema_ids(bare) == {}
    assert opened(bare) is None


@pytest.mark.parametrize("subject_first", [True, False])
def test_a_level_of_ones_own(written: Callable[..., Config], *, subject_first: bool) -> None:
    """Set before the first schema, or right after it where a registry wants that; null sets none;
    a subject that is there keeps its own."""
    state = State(subject_first=subject_first)
    with serving(state) as url:
        schema_ids(written(url, compatibility="FULL"), ["brief"])
        assert state.levels == {"eu.northbound.brief.alerts-value": "FULL"}
        schema_ids(written(url, compatibility="BACKWARD"), ["brief"])
        assert state.levels == {"eu.northbound.brief.alerts-value": "FULL"}
        schema_ids(written(url, compatibility=None), ["acme"])
        assert len(state.levels) == 1
        assert len(state.subjects) == 3


def test_the_next_version_has_to_be_compatible(written: Callable[..., Config]) -> None:
    """A subject with an older version of the schema gets this one; one with somebody else's stops
    the start with what the registry says, and nothing is registered over it."""
    older = event.schema()
    older["fields"] = [each for each in older["fields"] if each["name"] != "app_name"]
    foreign = {"type": "record", "name": "Event", "fields": [{"name": "time", "type": "string"}]}
    state = State(level="BACKWARD")
    subjects = ["eu.northbound.acme.events-value", "eu.northbound.acme.alerts-value"]
    state.subjects = {subjects[0]: [json.dumps(older)], subjects[1]: [json.dumps(foreign)]}
    with serving(state) as url:
        text = refusal(written(url))
    assert state.subjects[subjects[0]] == [json.dumps(older), SCHEMA]
    assert state.subjects[subjects[1]] == [json.dumps(foreign)]
    assert text.count("\n") == 0
    assert subjects[1] in text
    assert "SchemaResolutionError" in text
    assert "delete the subject" in text


def test_schemas_that_others_register(written: Callable[..., Config]) -> None:
    """With `publish: false` nothing is written; what is missing is named, all at once."""
    state = State()
    with serving(state) as url:
        config = written(url, publish=False)
        text = refusal(config)
        assert len(text.splitlines()) == 3
        assert "eu.northbound.brief.alerts-value has not the schema" in text
        assert not state.subjects
        state.subjects = {f"eu.northbound.{name}-value": [SCHEMA] for name in ("brief.alerts",)}
        assert schema_ids(config, ["brief"]) == {"brief": {"alerts": 7}}


def test_a_registry_that_is_away_stops_a_first_start_alone(
    written: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody listens, or it answers 503: the start stops and says where it asked. Ids that an
    earlier start has learnt are used meanwhile, which is logged; not those of another registry,
    nor for a schema that has changed."""
    state = State()
    with serving(state) as url:
        state.says = (503, b'{"message":"leader unknown"}')
        assert "503 leader unknown" in refusal(written(url))
        state.says = None
        found = schema_ids(written(url))
        state.says = (503, b"")
        assert schema_ids(written(url)) == found
        assert "The id of an earlier start is used" in caplog.text
    config = written(url)
    assert schema_ids(config) == found
    kept = config.state / KEPT
    kept.write_text(kept.read_text().replace(SCHEMA[:0] + url, "http://elsewhere"))
    text = refusal(config)
    assert re.search(r"does not answer\. http://localhost:\d+: Connection refused", text)
    assert "schema_registry.urls" in text
    kept.write_text("damaged")
    assert "does not answer" in refusal(config)


def test_the_second_url_is_asked_when_the_first_is_away(written: Callable[..., Config]) -> None:
    state = State()
    with serving(state) as url:
        config = written("http://localhost:1", urls=["http://localhost:1", url])
        assert schema_ids(config, ["brief"]) == {"brief": {"alerts": 7}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"login": ("northbound", "another")}, "refused the user name or the password"),
        ({"forbids": "POST /subjects"}, "says that this user may not"),
        ({"forbids": "PUT /config"}, "schema_registry.compatibility: null"),
        ({"says": (404, b"<html>")}, "/apis/ccompat/v7"),
        ({"says": (422, b'{"error_code":42201,"message":"Invalid schema"}')}, "Invalid schema"),
        ({"says": (200, b"[]")}, "no 'id'"),
        ({"says": (200, b'{"id":-1}')}, "gave the id -1"),
        ({"says": (302, b"")}, "no JSON"),
    ],
)
def test_refusals_say_what_to_do_and_no_secret(
    written: Callable[..., Config], tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    """Each stops the start, with a hint; neither the password nor what is sent for it is in it."""
    (tmp_path / "registry.password").write_text(f"{PASSWORD}\n")
    state = State(**change)  # type: ignore[arg-type]
    with serving(state) as url:
        config = written(url, username="northbound", password_file="registry.password")
        text = refusal(config)
    assert expected in text
    assert PASSWORD not in text
    assert "Basic" not in text
    assert PASSWORD not in repr(config)
    assert not state.subjects


def test_login_and_tls(written: Callable[..., Config], tmp_path: Path) -> None:
    """By https with the CA that is given, and with a user; another CA and a missing password are
    said for what they are."""
    made = certificates.ensure(tmp_path / "tls", ["localhost"], dt.datetime.now(dt.UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server)
    state = State(login=("northbound", PASSWORD))
    (tmp_path / "registry.password").write_text(PASSWORD)
    login = {"username": "northbound", "password_file": "registry.password"}
    with serving(state, context) as url:
        config = written(url, ca_file="tls/ca.pem", **login)
        assert schema_ids(config, ["brief"]) == {"brief": {"alerts": 7}}
        (config.state / KEPT).unlink()
        other = certificates.ensure(tmp_path / "other", ["localhost"], dt.datetime.now(dt.UTC))
        assert "its certificate is not trusted" in refusal(
            written(url, ca_file=str(other.ca), **login)
        )
        assert "schema_registry.ca_file" in refusal(written(url, ca_file="none.pem", **login))
        (tmp_path / "registry.password").unlink()
        assert "schema_registry.password_file" in refusal(
            written(url, ca_file="tls/ca.pem", **login)
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "u"},
        {"username": "u:v", "password_env": "X"},
        {"password_env": "X"},
        {"urls": ["http://registry.example:8081"], "username": "u", "password_env": "X"},
        {"urls": []},
        {"urls": ["registry:8081"]},
        {"certificate_file": "client.pem"},
        {"compatibility": "SOMETIMES"},
        {"northbound": {"url": "https://x", "password_env": "X"}},
    ],
)
def test_mistakes(written: Callable[..., Config], wrong: dict[str, object]) -> None:
    """Each is found when the file is read, and named."""
    with pytest.raises(ConfigError, match="schema_registry"):
        written("https://registry.example", **wrong)
