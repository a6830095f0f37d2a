"""northbound.yaml: a mistake is found before anything starts, and its message says what to do."""

from pathlib import Path

import pytest

from app.config import ConfigError, load
from app.config.reference import reference
from topology.topics import Names, declare

GOOD = """\
version: 1
kafka:
  embedded: {data: ./data}
sources:
  qumulo: {format: qumulo}
listeners:
  - {protocol: tcp, listen: 127.0.0.1:5514, source: qumulo}
tenants:
  acme: {sources: [qumulo]}
"""

FILE = "{type: file, paths: [/a], source: %s}"
HTTP = "{type: http, listen: h:1, source: qumulo, token_env: A, token_file: b}"
KAFKA = "{type: kafka, bootstrap: k:1, topics: [a], source: qumulo, security: {protocol: SASL_SSL}}"
NATS = "{type: nats, servers: [%s], stream: S, subject: s, source: qumulo, username: u}"

MISTAKES = [
    ("version: 1", "version: 2", 1, "version", "saw 2"),
    ("version: 1\n", "", 1, "version", "missing"),
    ("format: qumulo", "fromat: qumulo", 5, "sources.qumulo.fromat", "unknown key"),
    ("{format: qumulo}", "{format: qumulo, lateness: 30}", 5, "lateness", "number with a unit"),
    ("{format: qumulo}", "{format: qumulo, partitions: 0}", 5, "partitions", "saw 0"),
    ("{format: qumulo}", "{format: qumulo, timezone: Mars/X}", 5, "timezone", "IANA time zone"),
    ("127.0.0.1:5514", "'5514'", 7, "listeners[0].listen", "host:port"),
    ("127.0.0.1:5514", "127.0.0.1:99999", 7, "listeners[0].listen", "host:port"),
    ("source: qumulo", "source: netapp", 7, "listeners[0].source", "expected one of the sources"),
    ("protocol: tcp", "protocol: carrier-pigeon", 7, "listeners[0].protocol", "tcp"),
    ("tcp, listen", "relp, spool: 1GiB, listen", 7, "listeners[0]", "spool is not for RELP"),
    ("tcp, listen", "tcp, spool: 1000, listen", 7, "listeners[0].spool", "number with a unit"),
    ("tcp, listen", "tcp, tls: {}, listen", 7, "listeners[0]", "tls is for protocol tls"),
    ("tcp, listen", "tls, tls: {key: k.pem}, listen", 7, "listeners[0].tls", "needs certificate"),
    ("tcp, listen", "unix, listen", 7, "listeners[0]", "absolute path"),
    ("tcp, listen", "udp, framing: lf, listen", 7, "listeners[0]", "framing is for streams"),
    ("tcp, listen", "tcp, threads: 2, listen", 7, "listeners[0]", "threads are for udp"),
    ("tcp, listen", "tcp, proxy_protocol: [x], listen", 7, "proxy_protocol", "network"),
    ("tcp, listen", "tcp, max_line: 9999999, listen", 7, "listeners[0].max_line", "saw 9999999"),
    ("tenants:", "connectors: [{source: qumulo}]\ntenants:", 8, "connectors[0]", "missing type"),
    ("tenants:", "connectors: [{type: fax}]\ntenants:", 8, "connectors[0]", "'file'"),
    ("tenants:", f"connectors: [{FILE % 'x'}]\ntenants:", 8, "connectors[0].source", "saw 'x'"),
    (
        "tenants:",
        f"connectors: [{FILE % 'qumulo'}, {FILE % 'qumulo'}]\ntenants:",
        8,
        "connectors[1].source",
        "connectors[0] is of type file for qumulo too",
    ),
    (
        "tenants:",
        f"connectors: [{FILE.replace('/a', '') % 'qumulo'}]\ntenants:",
        8,
        "connectors[0].paths",
        "at least 1",
    ),
    (
        "tenants:",
        "connectors: [{type: http, listen: 127.0.0.1:5514, source: qumulo}]\ntenants:",
        8,
        "connectors[0].listen",
        "127.0.0.1:5514 is taken by listeners[0]",
    ),
    (
        "tenants:",
        f"connectors: [{HTTP}]\ntenants:",
        8,
        "connectors[0]",
        "keep one",
    ),
    (
        "tenants:",
        f"connectors: [{KAFKA}]\ntenants:",
        8,
        "connectors[0].security",
        "password_file or password_env",
    ),
    (
        "tenants:",
        f"connectors: [{NATS % 'nats://h:4222'}]\ntenants:",
        8,
        "connectors[0]",
        "username and password_file or password_env go together",
    ),
    (
        "tenants:",
        f"connectors: [{NATS % 'nats://user:word@h:4222'}]\ntenants:",
        8,
        "connectors[0].servers[0]",
        "without a user or a password",
    ),
    ("tenants:", "ingest: {monitor: x}\ntenants:", 8, "ingest.monitor", "one of the sources"),
    ("acme:", "Acme:", 9, "tenants.Acme", "lower-case"),
    ("sources: [qumulo]", "sources: [x]", 9, "tenants.acme.sources", "saw 'x'"),
    ("sources: [qumulo]", "sources: []", 9, "tenants.acme.sources", "at least 1"),
    ("embedded: {data: ./data}", "{}", 3, "kafka", "YAML"),
    (
        "embedded: {data: ./data}",
        "embedded: {internal: 0.0.0.0:9092}",
        3,
        "kafka.embedded.internal",
        "loopback",
    ),
    (
        "embedded: {data: ./data}",
        "external: {bootstrap: k:9092, security: {protocol: SASL_SSL}}",
        3,
        "kafka.external.security",
        "password_file or password_env",
    ),
    ("tenants:", "rules: [nowhere]\ntenants:", 8, "rules[0]", "nothing at"),
    (
        "tenants:",
        "expose: [parsed]\ntenants:",
        8,
        "expose[0]",
        "saw 'parsed', expected one of norm",
    ),
    ("tenants:", "expose: normalized\ntenants:", 8, "expose", "saw 'normalized'"),
    ("version: 1", "version: 1\nversion: 1", 2, "version", "given twice"),
]


def _write(folder: Path, text: str) -> Path:
    path = folder / "northbound.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_minimal_file_has_usable_defaults(tmp_path: Path) -> None:
    """What the README shows is enough to start."""
    config = load(_write(tmp_path, GOOD))
    assert config.sources["qumulo"].lateness == 30_000
    assert config.client() == {"bootstrap.servers": "127.0.0.1:19092"}
    assert config.data == tmp_path / "data"
    assert config.names.alerts("acme") == "northbound.acme.alerts"


@pytest.mark.parametrize(("old", "new", "line", "key", "text"), MISTAKES)
def test_each_mistake_names_its_line_key_and_expectation(
    tmp_path: Path, old: str, new: str, line: int, key: str, text: str
) -> None:
    """An operator can go to the place and knows what belongs there."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(_write(tmp_path, GOOD.replace(old, new, 1)))
    message = "\n".join(caught.value.problems)
    if text == "YAML":
        assert "not YAML" in message or "expected" in message
        return
    assert f"northbound.yaml:{line}:" in message
    assert key in message
    assert text in message


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    """Nobody wants to start five times to find five mistakes."""
    text = GOOD.replace("version: 1", "version: 3").replace("5514", "x").replace("acme", "A_B")
    with pytest.raises(ConfigError) as caught:
        load(_write(tmp_path, text))
    assert len(caught.value.problems) == 3


def test_no_file_says_so(tmp_path: Path) -> None:
    """The first thing a new user meets is no stack trace."""
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "northbound.yaml")


def test_secrets_come_from_files_and_never_show(tmp_path: Path) -> None:
    """Neither repr nor an error about another key shows the password."""
    (tmp_path / "secret").write_text("hunter2hunter2\n", encoding="utf-8")
    security = "{protocol: SASL_SSL, mechanism: SCRAM-SHA-256, username: nb, password_file: secret}"
    external = f"external: {{bootstrap: 'k:9093', security: {security}}}"
    config = load(_write(tmp_path, GOOD.replace("embedded: {data: ./data}", external)))
    assert config.client()["sasl.password"] == "hunter2hunter2"
    assert "hunter2" not in repr(config)
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match="password_file"):
        config.client()
    nats = NATS % "nats://user:hunter2hunter2@h:4222"
    with pytest.raises(ConfigError, match=r"servers\[0\]") as caught:
        load(_write(tmp_path, GOOD.replace("tenants:", f"connectors: [{nats}]\ntenants:")))
    assert "hunter2" not in str(caught.value)
    nats = NATS.replace("[%s]", "nats://user:hunter2hunter2@h:4222")
    with pytest.raises(ConfigError, match=r"servers: expected a list, such as") as caught:
        load(_write(tmp_path, GOOD.replace("tenants:", f"connectors: [{nats}]\ntenants:")))
    assert "hunter2" not in str(caught.value)


def test_tenant_files_beside_it_add_tenants(tmp_path: Path) -> None:
    """What `tenants add` writes is as good as what stands in the file, and is checked as well."""
    (tmp_path / "tenants.d").mkdir()
    (tmp_path / "tenants.d" / "globex.yaml").write_text("sources: [qumulo]\n", encoding="utf-8")
    assert set(load(_write(tmp_path, GOOD)).tenants) == {"acme", "globex"}
    (tmp_path / "tenants.d" / "globex.yaml").write_text("sources: [qumulo]\nx: 1\n")
    with pytest.raises(ConfigError, match=r"globex\.yaml:2: x: unknown key"):
        load(_write(tmp_path, GOOD))
    (tmp_path / "tenants.d" / "globex.yaml").write_text("# nothing yet\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"globex\.yaml:1: file: empty; expected keys"):
        load(_write(tmp_path, GOOD))
    with pytest.raises(ConfigError, match=r"northbound\.yaml:1: file: saw a list, expected"):
        load(_write(tmp_path, "- a\n"))


def test_records_have_their_senders_time_stamps_or_the_brokers(tmp_path: Path) -> None:
    """The setting of the raw topic that bounds event time by no sender's clock."""
    for given, kind in (("", "CreateTime"), (", timestamps: broker", "LogAppendTime")):
        text = GOOD.replace("format: qumulo", f"format: qumulo{given}")
        config = load(_write(tmp_path, text))
        (raw, *_) = declare(Names(), config.raw_topics(), [], [])
        assert raw.settings()["message.timestamp.type"] == kind


def test_the_reference_page_is_current() -> None:
    """docs/configuration.md is what `python -m app.config.reference` prints."""
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert reference() == page.read_text(encoding="utf-8")
