"""ca.pem: the CA of the brokers' certificate, for everything that reads PEM."""

from app.broker.bundle.access import Access, File


def files(access: Access) -> list[File]:
    return [] if access.ca is None else [File("ca.pem", access.ca)]
