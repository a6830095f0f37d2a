"""E-mail: a message for each alert by SMTP (RFC 5321), whose Message-ID is its key.

The server's 250 to the message: done. 5xx to the message: refused. 4xx to it: once more, so many
times. What is about server, login, sender or recipients is about every alert: they wait. Recipients
that are refused while others are not are logged, or, where it is for now, sent to again.
"""

import logging
import smtplib
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

from app.config.fields import host_port
from app.deliver.connection import CONNECT_S, ClientTls, reason
from app.deliver.destination import UnreachableError, Waiting
from app.deliver.http_exchange import excerpt
from app.deliver.secret import Secret
from app.deliver.settings import Place, client_tls
from app.respond.action import Action, AgainError, RefusedError
from app.respond.notification import Notification
from app.respond.settings import private_secret
from app.respond.texts import shown, text

if TYPE_CHECKING:
    from app.config import Config
    from app.config.responses import EmailResponse

log = logging.getLogger(__name__)

IDLE_S: Final = 20.0
"""A connection that was idle for longer is not used again: servers end those."""
CLOSING: Final = 421
"""Service not available, whatever it is the answer to (RFC 5321, 4.2.1)."""
TOO_LARGE: Final = 552
LINE: Final = 200
POLICY: Final = SMTP.clone(cte_type="7bit")
"""Any server takes that (RFC 6152 is an extension)."""
FACTS: Final = (
    ("Rule", "finding_info.title"),
    ("Severity", "severity"),
    ("State", "unmapped.state"),
    ("Tenant", "metadata.tenant_uid"),
    ("First event", "start_time"),
    ("Last event", "end_time"),
    ("Events", "count"),
    ("Sources", "finding_info.data_sources"),
    ("Tags", "unmapped.rule.tags"),
    ("Rule id", "unmapped.rule.id"),
    ("Alert", "finding_info.uid"),
)
"""What a message says unless there is a template of it."""


@dataclass(frozen=True, kw_only=True)
class MailSettings:
    """`tls`: None for a connection that is not secured; `at_once`: it is from the beginning.

    `body`: a template, or None for FACTS and the alert attached.
    """

    tls: ClientTls | None
    at_once: bool
    user: str | None
    password: Secret | None
    sender: str
    recipients: Sequence[str]
    subject: str
    body: str | None
    timeout_s: float


class Session(smtplib.SMTP):
    """A connection to a server that may have another name than its address. Raises as smtplib."""

    def __init__(self, address: str, settings: MailSettings) -> None:
        super().__init__(timeout=CONNECT_S)
        host, port = host_port(address)
        tls = settings.tls
        self._context = None if tls is None else tls.context()
        self._host = (tls.server_name if tls is not None else None) or host  # what TLS checks
        self._at_once = settings.at_once
        code, said = self.connect(host, port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        if self.sock is not None:
            self.sock.settimeout(settings.timeout_s)
        self.ehlo_or_helo_if_needed()
        if self._context is not None and not self._at_once:
            self.starttls(context=self._context)
            self.ehlo_or_helo_if_needed()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        if not self._at_once or self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise


class Mail(Action):
    """One connection at a time."""

    def __init__(self, settings: MailSettings, _waiting: Waiting) -> None:
        self._settings = settings
        self._address = ""
        self._session: Session | None = None
        self._used = 0.0
        self._left: tuple[str, Sequence[str]] = ("", ())
        self._secret = ""

    def open(self, address: str) -> None:
        """Connect, and log in where there is a user."""
        self._address = address
        settings = self._settings
        try:
            self._session = Session(address, settings)
            if settings.user is not None and settings.password is not None:
                self._secret = settings.password.read()
                self._session.login(settings.user, self._secret)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise self._away(error) from None
        self._used = time.monotonic()

    def act(self, alert: Notification) -> None:
        """Send it to all recipients that do not have it."""
        if self._session is None or time.monotonic() - self._used > IDLE_S:
            self.close()
            self.open(self._address)
        key, left = self._left
        recipients = left if key == alert.key else self._settings.recipients
        refused = self._send(message_of(alert, self._settings), recipients)
        self._used = time.monotonic()
        for address, (code, said) in refused.items():
            log.warning(
                "The mail server refuses a recipient. response=%s key=%s recipient=%s answer=%s",
                alert.response,
                alert.key,
                address,
                self._said(code, said),
            )
        again = [address for address, (code, _) in refused.items() if code < 500]
        self._left = (alert.key, again) if again else ("", ())
        if again:
            raise AgainError(f"{self._address}: not taken for {', '.join(again)}")

    def close(self) -> None:
        """End the connection."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(OSError, smtplib.SMTPException):
                session.quit()
            session.close()

    def _send(self, message: EmailMessage, recipients: Sequence[str]) -> Mapping[str, Any]:
        """Code and answer for the recipients that are refused while others are not."""
        session = self._session
        assert session is not None  # noqa: S101  # `act` has seen to it
        try:
            return session.sendmail(self._settings.sender, list(recipients), message.as_bytes())
        except smtplib.SMTPSenderRefused as error:
            if error.smtp_code == TOO_LARGE:  # the size stands beside the sender (RFC 1870)
                problem = f"{self._address}: {self._said(error.smtp_code, error.smtp_error)}"
                raise RefusedError(problem) from None
            raise self._away(error) from None
        except smtplib.SMTPDataError as error:
            if error.smtp_code == CLOSING:
                raise self._away(error) from None
            problem = f"{self._address}: {self._said(error.smtp_code, error.smtp_error)}"
            kind = RefusedError if error.smtp_code >= 500 else AgainError
            raise kind(problem) from None
        except (OSError, smtplib.SMTPException) as error:
            raise self._away(error) from None

    def _away(self, error: OSError | smtplib.SMTPException) -> UnreachableError:
        return UnreachableError(f"{self._address}: {self._why(error)}")

    def _why(self, error: OSError | smtplib.SMTPException) -> str:
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            address, (code, said) = next(iter(error.recipients.items()))
            return f"{address}: {self._said(code, said)}"
        if isinstance(error, smtplib.SMTPResponseException):
            return self._said(error.smtp_code, error.smtp_error)
        if isinstance(error, smtplib.SMTPException):  # an OSError, too, that has words alone
            return str(error) or type(error).__name__
        return reason(error) if isinstance(error, ssl.SSLError) or error.errno else str(error)

    def _said(self, code: int, answer: bytes | str) -> str:
        """What of an answer may be logged."""
        octets = answer if isinstance(answer, bytes) else answer.encode()
        if self._secret:
            octets = octets.replace(self._secret.encode(), b"<secret>")
        return f"{code} {excerpt(octets)}"


def message_of(alert: Notification, settings: MailSettings) -> EmailMessage:
    """What is sent. The same alert has the same Message-ID, so that mail readers show it once."""
    message = EmailMessage(policy=POLICY)
    domain = settings.sender.rpartition("@")[2]
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.recipients)
    message["Subject"] = _line(text(settings.subject, alert.attributes))
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = f"<{alert.key}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notices in return
    if settings.body is not None:
        message.set_content(text(settings.body, alert.attributes))
        return message
    message.set_content(facts(alert))
    message.add_attachment(alert.value, "application", "json", filename="alert.json")
    return message


def facts(alert: Notification) -> str:
    """An alert in lines."""
    attributes = alert.attributes
    lines = [shown("", attributes.get("message")), ""]
    lines += [
        f"{name}: {shown(path, attributes[path])}" for name, path in FACTS if path in attributes
    ]
    group = attributes.get("unmapped.group")
    if isinstance(group, dict):
        lines += [f"{name}: {shown('', value)}" for name, value in group.items()]
    lines += ["", f"Key: {alert.key}"]
    return "\n".join(_line(line, 10 * LINE) for line in lines) + "\n"


def _line(value: str, most: int = LINE) -> str:
    """One line of text: nothing in an alert adds a header."""
    return "".join(each for each in " ".join(value.split()) if each.isprintable())[:most]


def settings(config: "Config", at: Place, to: "EmailResponse") -> MailSettings:
    """Keys of northbound.yaml as the action is told them. Raises ConfigError."""
    return MailSettings(
        tls=None if to.security == "none" else client_tls(config, at, to.tls),
        at_once=to.security == "tls",
        user=to.username,
        password=private_secret(config, at, "password", to.password_env, to.password_file),
        sender=to.sender,
        recipients=tuple(to.recipients),
        subject=to.subject,
        body=to.body,
        timeout_s=to.timeout / 1000,
    )


def addresses(_config: "Config", to: "EmailResponse") -> list[str]:
    """As they are."""
    return to.addresses
