"""registry-ca.pem and registry-truststore.p12: the CA of the schema registry, where it has its own;
and what clients have in common that read schemas there.

Keys: Confluent's documentation of its serializers (Java) and of SchemaRegistryClient (Python).
"""

from app.broker.bundle.access import REGISTRY_CA, Access, File, RegistryAccess
from app.broker.bundle.trust_stores import STORE_PASSWORD, trust_stores

TRUST_STORE = "registry-truststore.p12"


def files(access: Access) -> list[File]:
    if access.registry is None or access.registry.ca is None:
        return []
    ca = access.registry.ca
    return [File(REGISTRY_CA, ca), File(TRUST_STORE, trust_stores(ca)["truststore.p12"])]


def python(registry: RegistryAccess) -> dict[str, str]:
    """Configuration of confluent_kafka.schema_registry.SchemaRegistryClient."""
    found = {"url": registry.url}
    if registry.user is not None:
        found["basic.auth.user.info"] = f"{registry.user}:{registry.password}"
    if registry.ca_file is not None:
        found["ssl.ca.location"] = registry.ca_file
    return found


def java(registry: RegistryAccess) -> dict[str, str]:
    """Properties of KafkaAvroDeserializer and AvroConverter."""
    found = {"schema.registry.url": registry.url}
    if registry.user is not None:
        found["basic.auth.credentials.source"] = "USER_INFO"
        found["basic.auth.user.info"] = f"{registry.user}:{registry.password}"
    if registry.ca is not None:
        found["schema.registry.ssl.truststore.location"] = TRUST_STORE
        found["schema.registry.ssl.truststore.type"] = "PKCS12"
        found["schema.registry.ssl.truststore.password"] = STORE_PASSWORD
    return found
