"""A real rsyslog over plain TCP, in both framings that its omfwd has."""

import asyncio
from pathlib import Path

import pytest

from tests.ingest.peers import rsyslog, wait_for
from tests.ingest.rig import listener, make_agent, read_topic, run, values
from tests.mock_kafka import mock_kafka

LINE = b"<13>Oct 11 22:14:15 host app: number %06d"


@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
@pytest.mark.parametrize("mode", ["auto", "own"])
def test_omfwd(tmp_path: Path, framing: str, mode: str) -> None:
    """All that it reads arrives once, in order and byte for byte; both framings are told apart, or
    are what the listener is set to. A line that begins with digits is one, and no count."""
    lines = [LINE % n for n in range(3_000)]
    lines[1_000:1_000] = [b"17 is no count", b"2026-01-27 nor is this", b"5"]
    own = "lf" if framing == "traditional" else "octet"

    async def work(kafka: str) -> None:
        settings = listener("nas", framing=own if mode == "own" else "auto")
        agent = make_agent(kafka, settings)
        await agent.start()
        host, port = agent.listeners[0].address
        action = f'type="omfwd" target="{host}" port="{port}" protocol="tcp" '

        def forward() -> None:
            with rsyslog(tmp_path, f'{action} TCP_Framing="{framing}"') as send:
                send(lines)
                wait_for(lambda: agent.listeners[0].ledger.received >= len(lines), "all lines")

        await asyncio.to_thread(forward)
        assert await agent.stop() == 0
        ledger = agent.ledgers()[0]
        assert (ledger.published, ledger.malformed, ledger.incomplete) == (len(lines), 0, 0)
        assert ledger.balanced

    with mock_kafka("raw.nas") as kafka:
        run(work(kafka))
        assert values(read_topic(kafka, "raw.nas", len(lines))) == lines
