"""Logstash's kafka input, and outputs to try it and for Microsoft Sentinel.

Keys: documentation of logstash-integration-kafka (input) and of
microsoft-sentinel-log-analytics-logstash-output-plugin.
"""

from app.broker.bundle.access import KEY_STORE, Access, File, RegistryAccess
from app.broker.bundle.java import jaas
from app.broker.bundle.schema_registry import TRUST_STORE
from app.broker.bundle.trust_stores import STORE_PASSWORD

INPUT = """\
# In this folder, as paths are relative:
# bin/logstash -f '{{logstash-input,logstash-output-stdout}}.conf'
{hint}input {{
{inputs}}}
"""
KAFKA = """\
  kafka {{
    bootstrap_servers => "{servers}"
    topics => ["{topic}"]
    group_id => "{group}"
    client_id => "{user}"
    auto_offset_reset => "earliest"
    isolation_level => "read_committed"
    session_timeout_ms => 60000
    security_protocol => "{protocol}"
{login}{trust}{codec}    tags => ["northbound", "{feed}"]
  }}
"""
HINT = """\
# To keep the password out of this file: bin/logstash-keystore add NORTHBOUND_PASSWORD, and
# password="${NORTHBOUND_PASSWORD}" below.
"""
SCRAM = """\
    sasl_mechanism => "{mechanism}"
    sasl_jaas_config => '{jaas}'
"""
CERTIFICATE = f"""\
    ssl_keystore_location => "{KEY_STORE}"
    ssl_keystore_type => "PKCS12"
    ssl_keystore_password => "{STORE_PASSWORD}"
"""
TRUST = f"""\
    ssl_truststore_location => "truststore.p12"
    ssl_truststore_type => "PKCS12"
    ssl_truststore_password => "{STORE_PASSWORD}"
"""
JSON = """\
    codec => "json"
"""
STDOUT = b"""\
output { stdout { codec => json_lines } }
"""
SENTINEL = b"""\
# bin/logstash-plugin install microsoft-sentinel-log-analytics-logstash-output-plugin
# bin/logstash -f '{logstash-input,logstash-output-sentinel}.conf'
# One stream for each feed: its columns are what the table's data collection rule names. Logstash 8
# needs pipeline.ecs_compatibility: disabled.
output {
  if "alerts" in [tags] {
    microsoft-sentinel-log-analytics-logstash-output-plugin {
      client_app_Id => "${SENTINEL_APP_ID}"
      client_app_secret => "${SENTINEL_APP_SECRET}"
      tenant_id => "${SENTINEL_TENANT_ID}"
      data_collection_endpoint => "${SENTINEL_ENDPOINT}"
      dcr_immutable_id => "${SENTINEL_RULE_ID}"
      dcr_stream_name => "Custom-NorthboundAlerts"
    }
  }
}
"""


def files(access: Access) -> list[File]:
    inputs = "".join(
        KAFKA.format(
            servers=access.servers,
            topic=topic,
            group=f"{access.group_prefix}logstash-{feed}",
            user=access.user,
            protocol=access.protocol,
            login=CERTIFICATE
            if access.certificate is not None
            else SCRAM.format(mechanism=access.mechanism, jaas=jaas(access)),
            trust="" if access.ca is None else TRUST,
            codec=JSON if access.registry is None else _registry(access.registry),
            feed=feed,
        )
        for feed, topic in access.topics.items()
    )
    hint = "" if access.certificate is not None else HINT
    return [
        File("logstash-input.conf", INPUT.format(inputs=inputs, hint=hint).encode(), secret=True),
        File("logstash-output-stdout.conf", STDOUT),
        File("logstash-output-sentinel.conf", SENTINEL),
    ]


def _registry(registry: RegistryAccess) -> str:
    """Logstash decodes Avro by itself, and its codec is then json."""
    keys = {"schema_registry_url": registry.url}
    if registry.user is not None:
        keys |= {"schema_registry_key": registry.user, "schema_registry_secret": registry.password}
    if registry.ca is not None:
        keys |= {
            "schema_registry_ssl_truststore_location": TRUST_STORE,
            "schema_registry_ssl_truststore_type": "PKCS12",
            "schema_registry_ssl_truststore_password": STORE_PASSWORD,
        }
    return "".join(f"    {key} => {_quoted(value)}\n" for key, value in keys.items())


def _quoted(text: str) -> str:
    """Logstash knows no escapes."""
    return f"'{text}'" if '"' in text else f'"{text}"'
