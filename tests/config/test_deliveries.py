"""`deliveries` of northbound.yaml: a mistake is told with its line, and what was expected."""

from pathlib import Path
from typing import get_args

import pytest

from app.config import ConfigError, load
from app.config.deliveries import To
from app.deliver.registry import KINDS, delivery_settings

HEAD = """\
version: 1
kafka: {external: {bootstrap: 'localhost:9092'}}
sources: {any: {format: rfc5424}}
tenants: {acme: {sources: [any], feeds: [events]}}
deliveries:
"""
GOOD = "{name: siem, tenant: acme, feeds: [events], to: {type: syslog, addresses: [h:514]}}"

SYSLOG = "syslog, addresses: [h:514]"
URL = "addresses: ['https://h/']"

MISTAKES = [
    ("tenant: acme", "tenant: acne", "deliveries[0].tenant", "saw 'acne', expected one of the"),
    ("feeds: [events]", "feeds: [alerts]", "deliveries[0].feeds", "acme has no alerts"),
    ("feeds: [events]", "feeds: []", "deliveries[0].feeds", "at least 1"),
    ("[h:514]", "[h]", "deliveries[0].to.addresses[0]", "host:port"),
    ("[h:514]", "[]", "deliveries[0].to.addresses", "at least 1"),
    ("[h:514]", "['h:1', 'h:1']", "deliveries[0].to", "each address once"),
    ("[h:514]", "[h:1], mode: both", "deliveries[0].to.mode", "failover"),
    ("[h:514]", "[h:1], hold: 2", "deliveries[0].to.hold", "number with a unit"),
    ("[h:514]", "[h:1], tls: {key: a}", "deliveries[0].to.tls", "key needs certificate"),
    ("[h:514]", "[h:1], ssl: {}", "deliveries[0].to.ssl", "unknown key"),
    ("type: syslog, addresses", "type: relp, window: 0, addresses", "deliveries[0].to.window", "0"),
    (SYSLOG, "http, addresses: ['ftp://h/']", "deliveries[0].to.addresses[0]", "http:// or https"),
    (SYSLOG, f"http, {URL}, username: u", "deliveries[0].to", "password_file or password_env"),
    (SYSLOG, f"http, {URL}, headers: {{Host: a}}", "deliveries[0].to", "set by the delivery"),
    (SYSLOG, f"elastic, {URL}, index: a/b", "deliveries[0].to.index", "without blanks"),
    (SYSLOG, f"splunk, {URL}, token_env: A, token_file: b", "deliveries[0].to", "keep one"),
    (SYSLOG, f"azure, {URL}, rule: a, stream: b", "deliveries[0].to", "either directory"),
    (SYSLOG, f"azure, {URL}, rule: a, stream: b, client_id: c", "deliveries[0].to", "go together"),
    (SYSLOG, "file, path: a, size: 1B", "deliveries[0].to", "1KiB or more"),
    (SYSLOG, "file, path: a, total: 1MiB", "deliveries[0].to", "total to be size or more"),
    (SYSLOG, "file, path: a, permissions: '777'", "deliveries[0].to.permissions", "octal"),
    ("name: siem", "name: S", "deliveries[0].name", "lower-case"),
    ("type: syslog", "type: fax", "deliveries[0].to", "'syslog'"),
]


def mistakes(folder: Path, *entries: str) -> list[str]:
    file = folder / "northbound.yaml"
    file.write_text(HEAD + "".join(f"  - {each}\n" for each in entries), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    return caught.value.problems


@pytest.mark.parametrize(("before", "after", "key", "expected"), MISTAKES)
def test_mistake(before: str, after: str, key: str, expected: str, tmp_path: Path) -> None:
    """One mistake gives one problem with the line, the key and what was expected."""
    assert before in GOOD
    (problem,) = mistakes(tmp_path, GOOD.replace(before, after))
    assert problem.startswith(f"{tmp_path}/northbound.yaml:6: {key}")
    assert expected in problem


def test_names_are_unique(tmp_path: Path) -> None:
    """Two deliveries of one name would share offsets, and each lose what the other has."""
    (problem,) = mistakes(tmp_path, GOOD, GOOD)
    assert "deliveries[1].name: deliveries[0] is named siem too" in problem


def test_certificates_are_looked_at(tmp_path: Path) -> None:
    """A CA file that is not there stops the start, by name."""
    file = tmp_path / "northbound.yaml"
    entry = GOOD.replace("[h:514]", "[h:1], tls: {ca: nowhere.pem}")
    file.write_text(f"{HEAD}  - {entry}\n", encoding="utf-8")
    config = load(file)
    with pytest.raises(ConfigError, match=r"deliveries\[0\].to: tls.ca .*nowhere.pem: No such"):
        delivery_settings(config, config.deliveries[0])


def test_text_alone(tmp_path: Path) -> None:
    """Avro in a line or a syslog message would be cut and changed: it is for consumers of Kafka."""
    file = tmp_path / "northbound.yaml"
    text = HEAD.replace("feeds: [events]", "feeds: [events], format: avro")
    file.write_text(f"{text}  - {GOOD}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"deliveries\[0\].tenant: tenant acme .* no text"):
        load(file)


def test_json_alone(tmp_path: Path) -> None:
    """A receiver of JSON is not sent CEF, which it would refuse record by record."""
    file = tmp_path / "northbound.yaml"
    entry = GOOD.replace(SYSLOG, f"elastic, {URL}, index: a")
    text = HEAD.replace("feeds: [events]", "feeds: [events], format: cef")
    file.write_text(f"{text}  - {entry}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"takes nothing but JSON, and tenant acme has .* cef"):
        load(file)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("token_file: nowhere", "token_file: .*/nowhere: No such file"),
        ("token_env: NORTHBOUND_NO_SUCH", "token_env: the environment has no NORTHBOUND_NO_SUCH"),
        ("", "splunk needs token_file or token_env"),
    ],
)
def test_secrets_are_looked_at(options: str, problem: str, tmp_path: Path) -> None:
    """A token that is not there stops the start."""
    file = tmp_path / "northbound.yaml"
    entry = GOOD.replace(SYSLOG, f"splunk, {URL}{options and ', '}{options}")
    file.write_text(f"{HEAD}  - {entry}\n", encoding="utf-8")
    config = load(file)
    with pytest.raises(ConfigError, match=rf"yaml:6: deliveries\[0\].to.*{problem}"):
        delivery_settings(config, config.deliveries[0])


def test_every_kind_is_registered() -> None:
    """A kind that northbound.yaml takes has its code."""
    assert set(KINDS) == {
        get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(To)[0])
    }
