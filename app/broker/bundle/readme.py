"""README.md: what the receiver of a bundle needs to know. Holds no secret."""

from cryptography import x509

from app.broker.bundle.access import (
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    KEY_STORE,
    REGISTRY_CA,
    Access,
    File,
)
from app.broker.bundle.schema_registry import TRUST_STORE
from app.broker.bundle.trust_stores import STORE_PASSWORD

TEXT = """\
# Northbound feed of {tenant}

Connect to `{servers}` with {login}. Files that hold the
{secret} are readable by their owner alone; keep them so.

| feed | topic |
|---|---|
{topics}
{main}{regions}
## Try it

    pip install confluent-kafka
    python3 consumer.py --topic alerts

If that does not work, `python3 doctor.py` says what to change.

Or, in this folder, `kcat -F client.properties -G {group} {some_topic}`.{librdkafka}

## Files

| file | for |
|---|---|
| `northbound.json`, `consumer.py` | Python with confluent-kafka |
| `doctor.py` | checks name, port, certificate, login, rights, clock and lag |
| `client.properties` | kcat and every other client on librdkafka (paths are relative to it) |
| `java.properties` | Java clients |
| `consumer.go`, `go.mod` | Go with franz-go: `go mod tidy && go run . alerts` |
| `consumer.mjs`, `package.json` | Node with kafkajs: `npm install && node consumer.mjs alerts` |
| `rsyslog.conf` | rsyslog with imkafka |
| `logstash-input.conf`, `logstash-output-*.conf` | Logstash; on to Microsoft Sentinel (1) |
| `filebeat.yml` | Filebeat (1) |
| `elastic-agent.yml` | Elastic Agent, standalone, and the values for Fleet (1) |
| `vector.yaml` | Vector (1) |
| `fluent-bit.yaml` | Fluent Bit (1) |
| `redpanda-connect.yaml` | Redpanda Connect (1) |
| `splunk-connector.json` | Splunk Connect for Kafka; `splunk-connector.txt` says how (1) |
{trust}{certificate}{avro}

(1) Checked by configuration only: against the keys that the product documents, not by running it.

## Rules

- Consumer groups: `{group}`, or any other name that begins with `{group_prefix}`. Programs that
  read the same feed independently need different groups; each of the files above has its own.
- Read with `isolation.level=read_committed`. Java clients, Logstash and Filebeat do not do so by
  themselves; the files here say it.
- A record can come twice, for instance after a crash of your consumer. {uid} is the same each
  time: use it to drop the second one.
{alert_rule}- Times are in UTC. Topics keep records for seven days, unless whoever runs them says
  otherwise; who comes later begins with the oldest that is there.
- Records are compressed with LZ4. Clients that need a package for it: aiokafka
  (`pip install 'aiokafka[lz4]'`) and kafkajs (`lz4js`, as in `consumer.mjs`).
- Leave the check of the server's name on. The certificate carries the names given above.
{avro_rule}{changeit}"""

MAIN = """
You may read the feeds of all tenants, too: every topic that begins with `{prefix}`, in the form
that its tenant has chosen.
"""
REGIONS = """
The files here name {servers}. In another region put its brokers in their place, or give
`consumer.py` and `doctor.py` `--region NAME`; user, password, topics and groups are the same. A
consumer group has its offsets in each cluster apart.

| region | brokers |
|---|---|
{rows}
"""
TRUST = """\
| `ca.pem` | the CA of the brokers, for clients that read PEM |
| `truststore.p12`, `truststore.jks` | the same CA for Java |"""
SCRAM = """ Clients on librdkafka need
its version 2.6.1 or newer (`kcat -V` shows it): Kafka 4 answers the SCRAM of older ones with
"invalid credentials" (librdkafka #4895), Debian 12's kcat among them."""
CERTIFICATE = f"""
| `{CLIENT_CERTIFICATE}`, `{CLIENT_KEY}` | your certificate, good until {{ends}}, and its key |
| `{KEY_STORE}` | both for Java |"""
AVRO = """
| `event.v*.avsc` | the schemas of the records |"""
UIDS = {
    "ecs-json": ("`event.id`", "`labels.alert_state`", "`labels.alert_uid`"),
    "cef": ("`externalId`", "`cs2`, alertState", "the record key"),
    "leef": ("`externalId`", "`state`", "the record key"),
    "indicator-json": (
        "`metadata.uid` (alerts: `uid`)",
        "`state` of a summary",
        "`indicator_uuid`",
    ),
}
"""By format: what tells a record that comes again, the state of an alert, what its states share."""
OCSF_UIDS = "`metadata.uid`", "`unmapped.state`", "`finding_info.uid`"
"""Those of all other formats, which hold OCSF."""
ALERT_RULE = """\
- An alert of a correlation comes more than once, on purpose: `provisional` as soon as it is known,
  then `final`, or `superseded` if it does not stand ({state}). Its states share {alert}, and
  each has {uid} of its own: drop by that one, or you lose the final ones.
"""
AVRO_RULE = """\
- Records are Avro in single-object encoding: the bytes C3 01, the CRC-64-AVRO fingerprint of one of
  the schemas in eight bytes (least significant first), then the record. `consumer.py` prints them
  as JSON (`pip install fastavro`); products that expect JSON need a decoder before them.
"""
REGISTRY_RULE = """\
- Records are Avro in Confluent's wire format: a byte 0, the id of the schema in four bytes (most
  significant first), then the record. The registry is `{url}`{login}; the schema of a topic is its
  subject `<topic>-value`. `consumer.py` prints records as JSON (`pip install fastavro`); with
  `pip install 'confluent-kafka[avro,schemaregistry]'` so does
  `AvroDeserializer(SchemaRegistryClient(json.load(open("northbound.json"))["schema_registry"]))`.
  `kcat -F client.properties -s value=avro -r {url} -G {group} {some_topic}` does it too.
  Filebeat, Elastic Agent, Fluent Bit, rsyslog, `consumer.go` and `consumer.mjs` need a decoder
  behind them.
"""
CHANGEIT = f"""\
- The trust stores' password is `{STORE_PASSWORD}`. It protects nothing: a CA certificate is public.
"""


def files(access: Access) -> list[File]:
    uid, state, alert = UIDS.get(access.format, OCSF_UIDS)
    text = TEXT.format(
        tenant=access.tenant,
        servers=access.servers,
        login=_login(access),
        secret="password" if access.certificate is None else "key",
        librdkafka=SCRAM if access.certificate is None else "",
        certificate=_certificate(access),
        topics="\n".join(f"| {feed} | `{topic}` |" for feed, topic in access.topics.items()),
        main="" if access.all_feeds is None else MAIN.format(prefix=access.all_feeds),
        regions=_regions(access),
        group=access.group,
        group_prefix=access.group_prefix,
        some_topic=next(reversed(access.topics.values()), ""),
        trust="" if access.ca is None else TRUST,
        avro=(AVRO if access.format == "avro" else "") + _registry_files(access),
        avro_rule=_avro_rule(access),
        uid=uid,
        alert_rule=ALERT_RULE.format(uid=uid, state=state, alert=alert)
        if "alerts" in access.topics
        else "",
        changeit="" if access.ca is None else CHANGEIT,
    )
    return [File("README.md", text.encode())]


def _login(access: Access) -> str:
    if access.certificate is None:
        return f"SASL_SSL and {access.mechanism} as user `{access.user}`"
    return f"SSL and the client certificate `{CLIENT_CERTIFICATE}`"


def _certificate(access: Access) -> str:
    if access.certificate is None:
        return ""
    until = x509.load_pem_x509_certificate(access.certificate[0]).not_valid_after_utc
    return CERTIFICATE.format(ends=f"{until:%Y-%m-%d}")


def _avro_rule(access: Access) -> str:
    if access.format != "avro":
        return ""
    if access.registry is None:
        return AVRO_RULE
    return REGISTRY_RULE.format(
        url=access.registry.url,
        login=(
            ""
            if access.registry.user is None
            else f", with the user `{access.registry.user}` and the password of northbound.json"
        ),
        group=access.group,
        some_topic=next(reversed(access.topics.values()), ""),
    )


def _registry_files(access: Access) -> str:
    if access.registry is None or access.registry.ca is None:
        return ""
    files = f"`{REGISTRY_CA}`, `{TRUST_STORE}`"
    return f"\n| {files} | the CA of the schema registry |"


def _regions(access: Access) -> str:
    if not access.regions:
        return ""
    rows = "\n".join(f"| {name} | `{servers}` |" for name, servers in access.regions.items())
    return REGIONS.format(servers=f"`{access.servers}`", rows=rows)
