"""A real syslog-ng as the sender: plain lines, RFC 5424 in counted frames, TLS that verifies."""

import asyncio
import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.broker import certificates
from app.broker.server import EmbeddedKafka
from app.ingest.tls import TlsSettings
from tests.ingest.peers import need, running, wait_for
from tests.ingest.rig import listener, make_agent, read_topic, run, values

pytestmark = pytest.mark.broker

COUNT = 5_000
FRAME = re.compile(rb'<13>1 \S+ \S+ - - - \[meta sequenceId="\d+"\] (.*)\n')
"""RFC 5424 with what syslog-ng knows of a bare line; it counts a line feed at the end in."""


@contextmanager
def syslog_ng(folder: Path, destination: str) -> Iterator[Callable[[list[bytes]], None]]:
    """A syslog-ng that forwards what the given function writes to the file that it follows."""
    need("syslog-ng")
    intake = folder / "in.log"
    intake.touch()
    conf = folder / "syslog-ng.conf"
    conf.write_text(
        f"""@version: 3.38
options {{ stats-freq(0); keep-hostname(yes); use-dns(no); }};
source s_in {{ file("{intake}" follow-freq(0.1) flags(no-parse)); }};
destination d_out {{ {destination} }};
log {{ source(s_in); destination(d_out); flags(flow-control); }};
"""
    )
    own = {"persist-file": "persist", "pidfile": "pid", "control": "control"}
    argv = ["syslog-ng", "-F", "--no-caps", "-f", str(conf)]
    argv += [f"--{option}={folder / name}" for option, name in own.items()]
    with running(argv, folder / "syslog-ng.out"):

        def send(lines: list[bytes]) -> None:
            with intake.open("ab") as out:
                out.write(b"\n".join(lines) + b"\n")

        yield send


@pytest.mark.parametrize("kind", ["lines", "counted", "tls"])
def test_syslog_ng(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], tmp_path: Path, kind: str
) -> None:
    """All that it reads arrives once and in order, byte for byte behind the header it makes."""
    source = create_topic("raw.ng").removeprefix("raw.")
    lines = [b"<13>Oct 11 22:14:15 h app: number %06d" % n for n in range(COUNT)]
    made = certificates.ensure(tmp_path / "tls", ["localhost"], dt.datetime.now(dt.UTC), "in.pem")

    async def work() -> None:
        settings = listener(source)
        if kind == "tls":
            settings = listener(source, protocol="tls", tls=TlsSettings(made.server))
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        host, port = agent.listeners[0].address
        more = f"port({port}) log-fifo-size({2 * COUNT})"
        destination = {
            "lines": f'network("{host}" {more} transport("tcp") template("${{MSG}}\\n"));',
            "counted": f'syslog("{host}" {more} transport("tcp"));',
            "tls": f'network("localhost" {more} transport("tls") template("${{MSG}}\\n") '
            f'tls(ca-file("{made.ca}") peer-verify(required-trusted)));',
        }[kind]

        def forward() -> None:
            with syslog_ng(tmp_path, destination) as send:
                send(lines)
                wait_for(lambda: agent.listeners[0].ledger.received >= COUNT, "all lines")

        await asyncio.to_thread(forward)
        assert await agent.stop() == 0
        ledger = agent.ledgers()[0]
        assert (ledger.published, ledger.malformed, ledger.incomplete) == (COUNT, 0, 0)

    run(work())
    found = [value or b"" for value in values(read_topic(kafka.bootstrap, f"raw.{source}", COUNT))]
    if kind == "counted":
        matches = [FRAME.fullmatch(value) for value in found]
        found = [match[1] for match in matches if match]
    assert found == lines
