"""Certificates that are replaced while an agent runs, one file after the other."""

import datetime as dt
import ssl
from pathlib import Path

import pytest

from app.broker import certificates
from app.ingest.tls import TlsSettings


def shaken(server: ssl.SSLContext, ca: Path) -> bool:
    """Whether a careful sender gets through, in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        ssl.create_default_context(cafile=ca).wrap_bio(back, there, server_hostname="localhost"),
        server.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            sides.remove(side)
    return not sides


def parts(made: certificates.Certificates) -> tuple[bytes, bytes]:
    """Certificate and key."""
    text = made.server.read_bytes()
    begin = text.index(b"-----BEGIN CERTIFICATE")
    return text[begin:], text[:begin]


def test_a_certificate_before_its_key_keeps_nobody_out(tmp_path: Path) -> None:
    """Whoever renews them replaces two files, and the agent may look in between: senders get the
    pair of before until the new one is whole."""
    now = dt.datetime.now(dt.UTC)
    old, new = (certificates.ensure(tmp_path / name, ["localhost"], now) for name in ("a", "b"))
    tls = TlsSettings(tmp_path / "certificate.pem", tmp_path / "key.pem")
    assert tls.key is not None
    tls.certificate.write_bytes(parts(old)[0])
    tls.key.write_bytes(parts(old)[1])
    context = tls.context()
    assert shaken(context, old.ca)
    tls.certificate.write_bytes(parts(new)[0])
    with pytest.raises(OSError, match="belongs together"):
        tls.renew(context)
    assert shaken(context, old.ca)
    tls.key.write_bytes(parts(new)[1])
    tls.renew(context)
    assert not shaken(context, old.ca)
    assert shaken(context, new.ca)
