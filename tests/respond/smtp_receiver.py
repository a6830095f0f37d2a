"""A mail server as a process of its own, so that it can be killed: aiosmtpd, of Debian's package.

`smtp_receiver.py PORT DIR`, by the system's Python. What it takes is in DIR/N.eml before it
answers, with recipients in a header X-Recipients. DIR/server.pem: TLS by STARTTLS, or
from the first octet on if DIR/at-once is there. DIR/login: "user password", asked for by AUTH.
It refuses messages with "poison" for good, those with "greylisted" for now, recipients "nobody@..."
for good and "later@..." the first time.
"""

import asyncio
import os
import ssl
import sys
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
SEEN = FOLDER / "later-seen"


class Handler:
    """What the server asks for each command."""

    async def handle_RCPT(self, _server, _session, envelope, address, options):  # noqa: N802
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later@") and not SEEN.exists():
            SEEN.touch()
            return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        if b"poison" in envelope.content:
            return "554 5.6.0 no such message"
        if b"greylisted" in envelope.content:
            return "451 4.7.1 come again"
        head = f"X-Recipients: {', '.join(envelope.rcpt_tos)}\r\n".encode()
        file = FOLDER / f"{time.time_ns()}.eml"
        fresh = file.with_suffix(".new")
        fresh.write_bytes(head + envelope.content)
        os.replace(fresh, file)  # noqa: PTH105
        return "250 OK"


def authenticate(_server, _session, _envelope, mechanism, data):
    user, password = (FOLDER / "login").read_text().split()
    if mechanism not in {"LOGIN", "PLAIN"}:
        return AuthResult(success=False, handled=False)
    right = (data.login, data.password) == (user.encode(), password.encode())
    if not right:  # some say what they were sent
        return AuthResult(
            success=False, handled=False, message=f"535 5.7.8 not {data.password.decode()}"
        )
    return AuthResult(success=True)


async def main() -> None:
    context = None
    if (FOLDER / "server.pem").exists():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FOLDER / "server.pem")
    at_once = (FOLDER / "at-once").exists()
    login = (FOLDER / "login").exists()

    def factory() -> SMTP:
        return SMTP(
            Handler(),
            hostname="mail.example",
            tls_context=None if at_once else context,
            require_starttls=context is not None and not at_once,
            authenticator=authenticate,
            auth_required=login,
            auth_require_tls=not at_once,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", PORT, ssl=context if at_once else None)
    await server.serve_forever()


asyncio.run(main())
