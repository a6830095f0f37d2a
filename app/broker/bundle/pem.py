"""ca.pem: the CA of the brokers' certificate, for everything that reads PEM; client.pem and
client.key of a tenant that logs in by certificate."""

from app.broker.bundle.access import CLIENT_CERTIFICATE, CLIENT_KEY, Access, File


def files(access: Access) -> list[File]:
    found = [] if access.ca is None else [File("ca.pem", access.ca)]
    if access.certificate is not None:
        certificate, key = access.certificate
        found += [File(CLIENT_CERTIFICATE, certificate), File(CLIENT_KEY, key, secret=True)]
    return found
