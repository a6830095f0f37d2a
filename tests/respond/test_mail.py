"""E-mail to a real SMTP server: secured or not at all, once for each alert, refusals told apart."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.deliver.connection import ClientTls
from app.deliver.destination import UnreachableError
from app.deliver.secret import Secret
from app.respond.action import AgainError, RefusedError
from app.respond.mail import Mail, MailSettings
from app.respond.notification import read
from tests.respond.findings import RULE, alert, finding
from tests.respond.mail_server import PASSWORD, MailServer

pytestmark = pytest.mark.kill


def settings(server: MailServer, **more: Any) -> MailSettings:
    given: dict[str, Any] = {
        "tls": ClientTls(ca=server.ca),
        "at_once": False,
        "user": None,
        "password": None,
        "sender": "northbound@example.com",
        "recipients": ("soc@example.com", "cert@example.com"),
        "subject": "[{severity}] {finding_info.title}",
        "body": None,
        "timeout_s": 60.0,
    }
    return MailSettings(**{**given, **more})


def opened(server: MailServer, **more: Any) -> Mail:
    mail = Mail(settings(server, **more), lambda: None)
    mail.open(server.address)
    return mail


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    """One that asks for STARTTLS."""
    made = MailServer(tmp_path / "mail")
    made.start()
    yield made
    made.kill()


def test_message(server: MailServer) -> None:
    """What comes: for all recipients, with the key as Message-ID, the facts and the alert."""
    mail = opened(server)
    mail.act(alert(1))
    (found,) = server.messages()
    assert found["X-Recipients"] == "soc@example.com, cert@example.com"
    assert found["From"] == "northbound@example.com"
    assert found["To"] == "soc@example.com, cert@example.com"
    assert found["Subject"] == "[High] Mass delete by one user"
    assert found["Message-ID"] == "<uid-1.page.first@example.com>"
    assert found["Auto-Submitted"] == "auto-generated"
    body = found.get_body()
    assert body is not None
    text = body.get_content().replace("\r", "")
    assert "\nSeverity: High\n" in text
    assert "\nLast event: 2025-11-27T12:00:00.001Z\n" in text
    assert 'actor.user.name: AD\\"eve"\n' in text
    (attached,) = found.iter_attachments()
    assert orjson.loads(attached.get_content()) == orjson.loads(alert(1).value)
    mail.act(alert(2))
    assert len(server.messages()) == 2
    mail.close()


def test_nothing_in_an_alert_adds_a_header(server: MailServer) -> None:
    """Line breaks and other characters in a title stay in the subject, in any script."""
    rule = replace(RULE, title="Ärger\r\nBcc: all@example.com\0\n.\n")
    mail = opened(server, body="{finding_info.title}\n.\nFROM: {count} für \u65e5\u672c")
    mail.act(read(finding(1, rule=rule), "page"))
    (found,) = server.messages()
    assert found["Subject"] == "[High] Ärger Bcc: all@example.com ."
    assert found["Bcc"] is None
    text = found.get_content()
    assert text.replace("\r", "").endswith("\n.\nFROM: 100 für \u65e5\u672c\n")


def test_secured_from_the_first_octet(tmp_path: Path) -> None:
    """`security: tls` with a user: nothing but the message comes, and only by its password."""
    server = MailServer(tmp_path / "mail", at_once=True)
    (server.folder / "login").write_text(f"nb {PASSWORD}")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    server.start()
    try:
        secret = Secret(file=tmp_path / "password")
        mail = opened(server, at_once=True, user="nb", password=secret)
        mail.act(alert())
        assert len(server.messages()) == 1
    finally:
        server.kill()


def test_wrong_password(tmp_path: Path) -> None:
    """It waits, and the password is not in what is said, though the server says it."""
    server = MailServer(tmp_path / "mail")
    (server.folder / "login").write_text(f"nb {PASSWORD}")
    (tmp_path / "password").write_text("wr0ng-passw0rd")
    server.start()
    try:
        with pytest.raises(UnreachableError, match=r"535 5.7.8 not <secret>"):
            opened(server, user="nb", password=Secret(file=tmp_path / "password"))
    finally:
        server.kill()


@pytest.mark.parametrize("secure", [True, False])
def test_not_as_it_has_to_be(secure: bool, tmp_path: Path) -> None:
    """A certificate of another name, or no STARTTLS at all: nothing is sent."""
    server = MailServer(tmp_path / "mail", secure=secure)
    server.start()
    try:
        tls = ClientTls(ca=server.ca, server_name="mail.example.com") if secure else ClientTls()
        expected = "certificate is not trusted" if secure else "STARTTLS"
        with pytest.raises(UnreachableError, match=expected):
            opened(server, tls=tls)
        assert not server.messages()
    finally:
        server.kill()


def test_another_name(server: MailServer) -> None:
    """A server whose certificate has another name than its address is reached by `server_name`."""
    tls = ClientTls(ca=server.ca, server_name="localhost")
    mail = Mail(settings(server, tls=tls), lambda: None)
    mail.open(f"127.0.0.1:{server.port}")
    mail.act(alert())
    assert len(server.messages()) == 1


def test_refusals(server: MailServer) -> None:
    """What is said of a message is about that alert; of all recipients, about every alert."""
    mail = opened(server)
    with pytest.raises(RefusedError, match=r"554 5.6.0 no such message"):
        mail.act(read(finding(rule=replace(RULE, title="poison")), "page"))
    with pytest.raises(AgainError, match="451"):
        mail.act(read(finding(rule=replace(RULE, title="greylisted")), "page"))
    mail.act(alert())
    assert len(server.messages()) == 1
    nobody = opened(server, recipients=("nobody@example.com",))
    with pytest.raises(UnreachableError, match=r"nobody@example.com: 550 5.1.1 no such mailbox"):
        nobody.act(alert())


def test_some_recipients(server: MailServer) -> None:
    """One without a mailbox keeps nobody from the message; one that is to come later gets it
    later, and nobody else twice."""
    recipients = ("soc@example.com", "nobody@example.com", "later@example.com")
    mail = opened(server, recipients=recipients)
    with pytest.raises(AgainError, match=r"not taken for later@example.com"):
        mail.act(alert())
    mail.act(alert())
    found = [each["X-Recipients"] for each in server.messages()]
    assert found == ["soc@example.com", "later@example.com"]
    mail.act(alert())  # read again after a kill: to everybody
    assert server.messages()[-1]["X-Recipients"] == "soc@example.com, later@example.com"


def test_server_gone(server: MailServer) -> None:
    """A server that is away is told so, and has the message when it is back."""
    mail = opened(server)
    server.kill()
    with pytest.raises(UnreachableError, match="localhost"):
        mail.act(alert())
    mail.close()
    with pytest.raises(UnreachableError, match="refused"):
        mail.open(server.address)
    server.start()
    mail.open(server.address)
    mail.act(alert())
    assert len(server.messages()) == 1
