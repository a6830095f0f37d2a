"""`northbound ingest`: the agent that takes lines from the network into raw topics."""

import asyncio
import logging
import signal
from typing import Annotated

import typer

from app.commands.options import ConfigOption, configured
from app.config import DEFAULT_PATH, Config, host_port
from app.ingest.settings import AgentSettings, ListenerSettings
from app.output import fail

STATUS_FILE = "ingest.json"


def ingest(
    *,
    linger_ms: Annotated[int, typer.Option(help="How long a batch for Kafka may fill.")] = 10,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run the listeners of northbound.yaml until SIGTERM or Ctrl-C.

    Example: northbound ingest --config /etc/northbound/northbound.yaml
    """
    import uvloop

    from app.ingest.agent import IngestError
    from app.supervisor import end_with_parent

    settings = configured(config)
    if not settings.listeners:
        fail(
            "northbound.yaml has no listeners; add one, such as\n"
            "listeners:\n  - {protocol: tcp, listen: 0.0.0.0:5514, source: "
            f"{next(iter(settings.sources))}}}"
        )
    end_with_parent()
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            left = runner.run(_run(settings, agent_settings(settings, linger_ms)))
    except IngestError as error:
        fail(error)
    if left:
        fail(f"{left} messages were received that Kafka did not take before the agent ended")


def agent_settings(config: Config, linger_ms: int = 10) -> AgentSettings:
    """northbound.yaml as the agent sees it."""
    listeners = []
    for each in config.listeners:
        host, port = host_port(each.listen)
        listeners.append(
            ListenerSettings(
                source=each.source,
                host=host,
                port=port,
                protocol=each.protocol,
                framing=each.framing,
                limit=each.max_line,
                oversize=each.oversize,
                key=config.sources[each.source].key,
            )
        )
    return AgentSettings(
        listeners=tuple(listeners),
        ticks={name: source.tick / 1000 for name, source in config.sources.items()},
        web=host_port(config.ingest.web),
        status_file=config.state / STATUS_FILE,
        linger_ms=linger_ms,
    )


async def _run(config: Config, settings: AgentSettings) -> int:
    from app.ingest.agent import IngestAgent

    agent = IngestAgent(settings, config.client(), config.names)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await agent.start()
    await stop.wait()
    return await agent.stop()
