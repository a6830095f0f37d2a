"""A bundle's files: complete, private where they hold the password, readable by Java."""

import datetime as dt
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from app import bundles
from app.broker import bundle, certificates, client_issuer, tenants
from app.broker.bundle import consumer
from app.broker.bundle.access import Access
from app.broker.cluster_error import ClusterError
from app.broker.java import candidates
from app.config import Config, ConfigError, load
from topology.northbound import SERIALIZERS

PASSWORD = "Secret1Secret2"
SECRET = {
    "northbound.json",
    "client.properties",
    "java.properties",
    "rsyslog.conf",
    "logstash-input.conf",
    "filebeat.yml",
    "elastic-agent.yml",
    "vector.yaml",
    "fluent-bit.yaml",
    "redpanda-connect.yaml",
    "splunk-connector.json",
}
"""Files that hold the password."""
CODED = re.compile(rb"-----BEGIN.*?-----END", re.DOTALL)
"""Certificates and keys: one in a few hundred spells a word."""
TRUSTED = ("ca.pem", "truststore.p12", "certificate_authorities:")
"""How a file may say which CA it trusts."""


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("tls")
    return certificates.ensure(folder, [], dt.datetime.now(dt.UTC)).ca.read_bytes()


def make_access(ca: bytes | None, servers: str = "kafka.example:9094") -> Access:
    return Access(
        tenant="acme",
        servers=servers,
        user="acme",
        password=PASSWORD,
        topics={"events": "northbound.acme.events", "alerts": "northbound.acme.alerts"},
        group_prefix="acme.",
        ca=ca,
    )


def test_secrets_are_private(ca: bytes, tmp_path: Path) -> None:
    """Files with the password are for their owner alone; every other file is without it."""
    access = make_access(ca)
    folder = tmp_path / "bundle"
    bundle.write(access, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    secret = {file.name for file in folder.iterdir() if PASSWORD.encode() in file.read_bytes()}
    assert secret == SECRET
    assert {file.name for file in folder.iterdir() if file.stat().st_mode & 0o077 == 0} == secret
    assert PASSWORD not in repr(access)
    assert all(
        PASSWORD not in repr(file) for make in bundle.FORMATS.values() for file in make(access)
    )


def make_certificate(folder: Path) -> tuple[bytes, bytes]:
    now = dt.datetime.now(dt.UTC)
    client_issuer.ensure_ca(folder / "ca", now)
    found = client_issuer.issue(
        folder / "issued", client_issuer.own(folder / "ca"), "acme", "", now
    )
    assert found.file.stat().st_mode & 0o777 == 0o600
    return client_issuer.pem(found)


def test_a_certificate_instead_of_a_password(ca: bytes, tmp_path: Path) -> None:
    """No file asks for a password, each knows the certificate, and the key is private wherever it
    is. Java's key store has both."""
    certificate, key = make_certificate(tmp_path)
    access = replace(make_access(ca), password="", certificate=(certificate, key))
    folder = tmp_path / "bundle"
    bundle.write(access, folder)
    texts = {file.name: file.read_bytes() for file in folder.iterdir()}
    store = texts.pop("keystore.p12")
    assert (folder / "keystore.p12").stat().st_mode & 0o777 == 0o600
    loaded, own, _ = pkcs12.load_key_and_certificates(store, b"changeit")
    assert loaded is not None
    assert own == x509.load_pem_x509_certificate(certificate)
    line = key.splitlines()[1]
    private = {name for name, text in texts.items() if line in text}
    assert private == {"client.key", "elastic-agent.yml", "rsyslog.conf"}
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in private)
    own_parts = (b"client.pem", b"keystore.p12", b"BEGIN CERTIFICATE")
    for name in SECRET:
        assert b"sasl" not in CODED.sub(b"", texts[name]).lower(), name
        assert any(part in texts[name] for part in own_parts), name
    assert line.decode() not in repr(access)
    readme = texts["README.md"].decode()
    assert "with SSL and the client certificate `client.pem`" in readme
    assert "password are readable" not in readme


@pytest.mark.parametrize(
    ("form", "uid"),
    [("ocsf-json", "`metadata.uid`"), ("ecs-json", "`event.id`"), ("leef", "`externalId`")],
)
def test_final_alerts_are_no_repetitions(ca: bytes, tmp_path: Path, form: str, uid: str) -> None:
    """A SIEM is told to drop what repeats by another uid than that which the states of an alert
    share: it would lose each final one that follows a provisional one."""
    bundle.write(replace(make_access(ca), format=form), tmp_path)
    told = " ".join((tmp_path / "README.md").read_text().split())
    assert f"{uid} is the same each time: use it to drop the second one" in told
    assert f"and each has {uid} of its own" in told
    assert "finding_info.uid` is the same" not in told


def test_a_name_that_is_too_long_for_a_certificate(tmp_path: Path) -> None:
    """It is refused with what to shorten, before anything is written."""
    now = dt.datetime.now(dt.UTC)
    client_issuer.ensure_ca(tmp_path / "ca", now)
    own = client_issuer.own(tmp_path / "ca")
    with pytest.raises(ClusterError, match="at most 64 are possible"):
        client_issuer.issue(tmp_path, own, "a" * 40, "p" * 20 + ".", now)
    assert list(tmp_path.glob("*.pem")) == []


def test_regions(ca: bytes, tmp_path: Path) -> None:
    """A broker list per region, for programs and for people; without regions nothing is said."""
    one = replace(make_access(ca), regions={"eu": "eu-1:9094,eu-2:9094", "us": "us-1:9094"})
    bundle.write(one, tmp_path)
    assert json.loads((tmp_path / "northbound.json").read_text())["regions"] == one.regions
    readme = (tmp_path / "README.md").read_text()
    assert "| eu | `eu-1:9094,eu-2:9094` |" in readme
    client, _, _ = consumer.configuration(tmp_path, "", "eu")
    assert client["bootstrap.servers"] == "eu-1:9094,eu-2:9094"
    with pytest.raises(SystemExit, match="no region aps"):
        consumer.configuration(tmp_path, "", "aps")
    bundle.write(make_access(ca), tmp_path)
    assert "regions" not in json.loads((tmp_path / "northbound.json").read_text())
    assert "region" not in (tmp_path / "README.md").read_text()


def regional(folder: Path, tenant: str) -> Config:
    """An embedded broker and two regions, one with a CA of its own."""
    for name in ("data/tls/ca.pem", "eu.pem"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        made = certificates.ensure(folder / f"of-{Path(name).stem}", [], dt.datetime.now(dt.UTC))
        (folder / name).write_bytes(made.ca.read_bytes())
    tenants.keep(folder / "data" / "credentials", "acme")
    file = folder / "northbound.yaml"
    file.write_text(
        f"""\
version: 1
kafka:
  embedded: {{}}
  regions:
    eu: {{servers: "eu-1:9094, eu-2:9094", ca_file: eu.pem}}
    us: {{servers: "us-1:9094"}}
sources: {{qumulo: {{format: qumulo}}}}
tenants:
  acme: {{sources: [qumulo]{tenant}}}
"""
    )
    return load(file)


def test_regions_of_a_configuration(tmp_path: Path) -> None:
    """A tenant's bundle names its region's brokers, or those that are asked for, and trusts all of
    them; the embedded broker's certificate has the names of the regions that have no other CA."""
    config = regional(tmp_path, ", region: eu")
    own = bundles.access(config, "acme")
    assert own.servers == "eu-1:9094,eu-2:9094"
    assert bundles.access(config, "acme", "us").servers == "us-1:9094"
    assert own.regions == {"eu": "eu-1:9094,eu-2:9094", "us": "us-1:9094"}
    assert own.ca is not None
    assert len(x509.load_pem_x509_certificates(own.ca)) == 2
    assert config.region_hosts == ["us-1"]
    assert bundles.access(regional(tmp_path, ""), "acme").servers == "localhost:9094"


def test_a_region_that_there_is_not(tmp_path: Path) -> None:
    """One message with its line."""
    with pytest.raises(ConfigError, match=r"yaml:9: tenants\.acme\.region: saw 'aps'.*eu, us"):
        regional(tmp_path, ", region: aps")


def test_written_again(ca: bytes, tmp_path: Path) -> None:
    """A second bundle in the same folder replaces the first one, a loose mode too."""
    bundle.write(make_access(ca), tmp_path)
    file = tmp_path / "northbound.json"
    file.chmod(0o644)
    bundle.write(make_access(ca, servers="other.example:9094"), tmp_path)
    assert bundle.client_configuration(tmp_path)[0]["bootstrap.servers"] == "other.example:9094"
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_earlier_bundle_leaves_nothing_behind(ca: bytes, tmp_path: Path) -> None:
    """Of Avro through a registry, and with a certificate: in the same folder the next one has the
    files that it would have in one of its own, so that its consumer takes no JSON for Avro."""
    registry = bundle.RegistryAccess("https://registry.example", ca=ca)
    before = replace(make_access(ca), format="avro", registry=registry)
    bundle.write(replace(before, certificate=make_certificate(tmp_path)), tmp_path / "again")
    (tmp_path / "again" / "notes.txt").write_text("mine")
    for folder in ("again", "fresh"):
        bundle.write(make_access(None), tmp_path / folder)
    again, fresh = (
        {file.name for file in (tmp_path / name).iterdir()} for name in ("again", "fresh")
    )
    assert again == fresh | {"notes.txt"}
    assert consumer.decoder(tmp_path / "again")(b'{"time":7}') == b'{"time":7}'


def test_a_consumer_without_its_library_says_what_to_install(ca: bytes, tmp_path: Path) -> None:
    """The receiver runs consumer.py with any Python: one line and no stack trace."""
    bundle.write(make_access(ca), tmp_path)
    # -S: without site-packages.
    argv = [sys.executable, "-I", "-S", str(tmp_path / "consumer.py"), "--topic", "events"]
    done = subprocess.run(argv, capture_output=True, timeout=120, check=False, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("-m pip install confluent-kafka\n")
    assert "Traceback" not in done.stderr


def test_the_documented_parameters(ca: bytes, tmp_path: Path) -> None:
    """The Python dictionary has the keys that Citrix documents, and read_committed."""
    bundle.write(make_access(ca), tmp_path)
    client, topics = bundle.client_configuration(tmp_path)
    assert client == {
        "bootstrap.servers": "kafka.example:9094",
        "client.id": "acme",
        "group.id": "acme.siem",
        "session.timeout.ms": 60000,
        "auto.offset.reset": "earliest",
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-256",
        "sasl.username": "acme",
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "isolation.level": "read_committed",
    }
    assert topics["alerts"] == "northbound.acme.alerts"


def test_a_public_ca(tmp_path: Path) -> None:
    """Where every system knows the brokers' CA, no file names one."""
    written = bundle.write(make_access(None), tmp_path)
    assert {"ca.pem", "truststore.jks", "truststore.p12"}.isdisjoint({f.name for f in written})
    for name in ("northbound.json", "client.properties", "java.properties", "README.md"):
        text = (tmp_path / name).read_text()
        assert "ca.pem" not in text
        assert "truststore" not in text


@pytest.mark.parametrize("store", ["truststore.jks", "truststore.p12"])
def test_keytool_reads_the_trust_stores(ca: bytes, tmp_path: Path, store: str) -> None:
    """Java's own tool finds one trusted certificate: our CA."""
    bundle.write(make_access(ca), tmp_path)
    keytool = next(file for file in candidates("keytool") if file.is_file())
    done = subprocess.run(
        [
            *(keytool, "-exportcert", "-rfc", "-alias", "northbound"),
            *("-keystore", tmp_path / store, "-storepass", "changeit"),
        ],
        capture_output=True,
        check=True,
    )
    found = x509.load_pem_x509_certificate(done.stdout)
    assert found == x509.load_pem_x509_certificate(ca)


def test_every_client_reads_committed_records_by_groups_of_its_own(
    ca: bytes, tmp_path: Path
) -> None:
    """Each file of a product names the topics, a group under the tenant's prefix that no other has,
    the CA, the user, and that only committed records are read, from the earliest on."""
    bundle.write(make_access(ca), tmp_path)
    texts = {file.name: file.read_text("utf-8") for file in tmp_path.iterdir() if is_text(file)}
    products = SECRET - {"northbound.json", "client.properties", "java.properties"}
    groups: list[str] = []
    for name in products:
        text = texts[name]
        for word in ("northbound.acme.events", "northbound.acme.alerts", "read_committed"):
            assert word in text, (name, word)
        assert "SCRAM-SHA-256" in text
        assert "earliest" in text or "oldest" in text, name
        assert any(each in text for each in (*TRUSTED, "ssl.ca.pem=-----")), name
        found = set(re.findall(r"\bacme\.[a-z][a-z-]+", text.replace("northbound.acme.", "")))
        assert found, name
        groups += found
    assert len(groups) == len(set(groups))
    for name in (
        "filebeat.yml",
        "elastic-agent.yml",
        "vector.yaml",
        "fluent-bit.yaml",
        "redpanda-connect.yaml",
    ):
        assert isinstance(yaml.safe_load(texts[name]), dict)
    assert json.loads(texts["splunk-connector.json"])["config"]["tasks.max"] == "1"


def is_text(file: Path) -> bool:
    return file.suffix not in {".jks", ".p12"}


def test_a_zip_holds_the_same(ca: bytes, tmp_path: Path) -> None:
    """For its owner alone; unpacked, files with the password are still private."""
    folder = tmp_path / "bundle"
    files = bundle.write(make_access(ca), folder)
    assert set(files) == set(folder.iterdir())
    (folder / "northbound.yaml").write_text("tenants: {other: {}}")  # `--out .` of whoever runs it
    packed = bundle.pack(folder, files)
    (folder / "northbound.yaml").unlink()
    assert packed == tmp_path / "bundle.zip"
    assert packed.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(packed) as archive:
        entries = archive.infolist()
        assert {each.filename for each in entries} == {f"bundle/{f.name}" for f in folder.iterdir()}
        for each in entries:
            file = tmp_path / each.filename
            assert archive.read(each) == file.read_bytes()
            assert each.external_attr >> 16 & 0o777 == file.stat().st_mode & 0o777


def test_a_receiver_of_avro_has_the_schemas(ca: bytes, tmp_path: Path) -> None:
    """consumer.py makes JSON of a record with what is in the folder; others get no schema."""
    events = pl.DataFrame({"time": [7], "file.path": ["/ü"], "unmapped.note": ["more"]})
    (value,) = SERIALIZERS["avro"](events)
    bundle.write(make_access(ca), tmp_path / "json")
    bundle.write(replace(make_access(ca), format="avro"), tmp_path / "avro")
    assert not list((tmp_path / "json").glob("*.avsc"))
    assert "avsc" not in (tmp_path / "json" / "README.md").read_text()
    assert "event.v*.avsc" in (tmp_path / "avro" / "README.md").read_text()
    line = json.loads(consumer.decoder(tmp_path / "avro")(value))
    assert (line["time"], line["file"]["path"]) == (7, "/ü")
    assert json.loads(line["other"]) == {"unmapped": {"note": "more"}}
    assert consumer.decoder(tmp_path / "json")(b'{"time":7}') == b'{"time":7}'
    with pytest.raises(SystemExit, match="ask for a new bundle"):
        consumer.decoder(tmp_path / "avro")(b'{"time":7}')
