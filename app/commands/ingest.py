"""`northbound ingest`: the agent that takes lines from the network into raw topics."""

import asyncio
import contextlib
import datetime as dt
import logging
import signal
import socket
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import orjson
import typer

from app.commands.options import ConfigOption, JsonOption, completed, configured
from app.config import DEFAULT_PATH, Config, ConfigError, host_port, in_file_order, load
from app.config.connectors import HttpConnector
from app.config.listeners import Listener, ListenerTls
from app.ingest.connectors.registry import connector_settings
from app.ingest.framing import MODES
from app.ingest.settings import AgentSettings, ListenerSettings
from app.ingest.tls import tls_settings
from app.output import FAILED, WRONG_USAGE, as_json, fail

if TYPE_CHECKING:
    from app.ingest.agent import IngestAgent
    from app.ingest.framing import Mode
    from app.ingest.ledger import Ledger

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""How often it is looked whether a file has changed."""
CHECK_S = 60.0
"""How long is looked for all that is wrong with a configuration that cannot be used."""
RENEW_S = 600.0
"""How often it is looked whether Northbound's own certificate is due."""

STATUS_FILE = "ingest.json"

Stamp: TypeAlias = tuple[int, int]
"""When a file was changed (ns), and its octets."""
State: TypeAlias = dict[Path, Stamp]
"""Of the files whose changes are taken up."""


def ingest(
    *,
    linger_ms: Annotated[int, typer.Option(help="How long a batch for Kafka may fill.")] = 10,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Publish standard input instead, to its end.")
    ] = False,
    source: Annotated[str | None, typer.Option(help="Whose lines --stdin are.")] = None,
    framing: Annotated[str, typer.Option(help="With --stdin: lf | octet | nul | auto")] = "lf",
    json: JsonOption = False,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Run the listeners and connectors of northbound.yaml until SIGTERM or Ctrl-C.

    SIGHUP, and a change of northbound.yaml or a certificate, is taken up without a restart. If
    there is a mistake in it, the configuration before stays.

    With --stdin it publishes the lines of standard input and nothing else, prints the ledger once
    Kafka has all of them, and ends; status 1 if any did not get there.

    Example: northbound ingest --config /etc/northbound/northbound.yaml
    """
    import uvloop

    from app.ingest.topics import IngestError
    from app.supervisor import end_with_parent

    begun = _stamp(config)
    settings = configured(config, ingest=not stdin)
    if stdin:
        _ingest_stdin(settings, source, framing, json=json)
        return
    if source is not None:
        fail("--source goes with --stdin", WRONG_USAGE)
    if not settings.ingests:
        fail(
            "northbound.yaml has no listeners and no connectors; add one, such as\n"
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
            left = runner.run(_run(config, begun, settings, linger_ms))
    except ConfigError as error:
        fail(completed(config, error, ingest=True))
    except IngestError as error:
        fail(error)
    if left:
        fail(f"{left} messages were received that Kafka did not take before the agent ended")


def _ingest_stdin(config: Config, source: str | None, framing: str, *, json: bool) -> None:
    from app.ingest.topics import IngestError

    if source not in config.sources:
        known = ", ".join(config.sources)
        fail(f"--stdin needs --source; saw {source!r}, expected one of {known}", WRONG_USAGE)
    mode = next((each for each in MODES if each == framing), None)
    if mode is None:
        fail(f"no framing {framing!r}; expected one of {', '.join(MODES)}", WRONG_USAGE)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        ledger, problem = asyncio.run(_publish_stdin(config, source, mode))
    except (ConfigError, IngestError) as error:
        fail(error)
    if as_json(json):
        print(orjson.dumps(ledger.as_dict()).decode())
    else:
        print(f"{ledger.published:,} lines are in {config.names.raw(source)}.")
    if problem:
        fail(problem)
    if left := ledger.received - ledger.published:
        fail(f"{left} lines did not get into Kafka")


async def _publish_stdin(config: Config, source: str, mode: "Mode") -> tuple["Ledger", str]:
    from app.ingest.agent import IngestAgent
    from app.ingest.connectors.stdin import StdinConnector, StdinSettings

    chosen = StdinSettings(source=source, key=config.sources[source].key, framing=mode)
    settings = AgentSettings(listeners=(), ticks={}, web=None, connectors=(chosen,))
    agent = IngestAgent(settings, config.client(), config.names)
    await agent.start()
    (connector,) = agent.listeners
    assert isinstance(connector, StdinConnector)  # noqa: S101  # the one that was asked for
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, connector.ended.set)
    await connector.ended.wait()
    await agent.stop()
    return connector.account(), connector.problem


def agent_settings(config: Config, linger_ms: int = 10) -> AgentSettings:
    """northbound.yaml as the agent sees it. Makes certificates where Northbound's CA is to."""
    own = _own_certificate(config)
    sources = config.sources
    return AgentSettings(
        listeners=tuple(_listener(config, each, own) for each in config.listeners),
        ticks={name: source.tick / 1000 for name, source in sources.items()},
        web=host_port(config.ingest.web),
        status_file=config.state / STATUS_FILE,
        linger_ms=linger_ms,
        silent_after={name: source.silent_after / 1000 for name, source in sources.items()},
        low_rate={name: source.low_rate for name, source in sources.items()},
        alert_on={name: frozenset(source.alert_on) for name, source in sources.items()},
        monitor=config.ingest.monitor,
        connectors=tuple(
            connector_settings(config, each, tls_settings(config, getattr(each, "tls", None), own))
            for each in config.connectors
        ),
    )


def _listener(config: Config, each: Listener, own: Path | None) -> ListenerSettings:
    unix = each.protocol == "unix"
    host, port = ("", 0) if unix else host_port(each.listen)
    tls = tls_settings(config, each.tls or ListenerTls(), own) if each.secured else None
    return ListenerSettings(
        source=each.source,
        host=host,
        port=port,
        protocol=each.protocol,
        framing=each.framing,
        limit=each.max_line,
        oversize=each.oversize,
        key=config.sources[each.source].key,
        path=Path(each.listen) if unix else None,
        mode=int(each.permissions, 8),
        datagram=each.datagrams,
        tls=tls,
        proxy_from=tuple(map(ip_network, each.proxy_protocol)),
        spool=config.path(config.ingest.spool),
        spool_bytes=each.spool_bytes,
        threads=each.threads,
        receive_buffer=each.receive_buffer,
    )


def _own_certificate(config: Config) -> Path | None:
    """One certificate by Northbound's own CA for all listeners that bring none."""
    from app.broker import certificates
    from app.broker.errors import BrokerError

    bare = [
        each.tls or ListenerTls()
        for each in config.listeners
        if each.secured and (each.tls is None or each.tls.certificate is None)
    ]
    offered = [each.tls for each in config.connectors if isinstance(each, HttpConnector)]
    bare += [each for each in offered if each is not None and each.certificate is None]
    if not bare:
        return None
    hosts = [socket.gethostname(), *(host for each in bare for host in each.hosts)]
    now = dt.datetime.now(dt.UTC)
    try:
        made = certificates.ensure(config.data / "tls", hosts, now, "ingest.pem")
    except BrokerError as error:
        raise ConfigError([str(error)]) from None
    log.info("Senders check this agent's certificate against %s", made.ca)
    return made.server


async def _run(path: Path, begun: Stamp, config: Config, linger_ms: int) -> int:
    """`begun`: of northbound.yaml before it was read."""
    from app.ingest.agent import IngestAgent

    settings = agent_settings(config, linger_ms)
    seen = {**_state(path, settings), path: begun}
    agent = IngestAgent(settings, config.client(), config.names)
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await agent.start()
    watching = asyncio.create_task(_watch(path, seen, agent, linger_ms, reload), name="watch")
    await stop.wait()
    watching.cancel()
    return await agent.stop()


async def _watch(
    path: Path, seen: State, agent: "IngestAgent", linger_ms: int, reload: asyncio.Event
) -> None:
    """Take up what changes, on SIGHUP at once; on a mistake go on as before.

    `seen` is from before the files were read: what changes while they are is read once more.
    """
    from app.ingest.topics import IngestError

    renewed = time.monotonic()
    while True:
        if time.monotonic() > renewed + RENEW_S:
            renewed = time.monotonic()
            _renew(path)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reload.wait(), LOOK_S)
        now = _state(path, agent.settings)
        if not reload.is_set() and now == seen:
            continue
        reload.clear()
        try:
            config = load(path)
            if not agent.serves(config.client(), config.names):
                log.warning(
                    "`kafka` has changed, which takes a restart: the cluster, the login and the "
                    "prefix of topics stay what they were. file=%s",
                    path,
                )
            await agent.apply(agent_settings(config, linger_ms))
        except ConfigError as error:
            told = "\n".join(await _everything_wrong(path, error))
            log.error("The configuration before stays where this is wrong:\n%s", told)  # noqa: TRY400
        except IngestError as error:
            log.error("The configuration before stays where this is wrong:\n%s", error)  # noqa: TRY400
        except Exception:
            log.exception("The configuration could not be read again.")
        else:
            log.info("The configuration was read again.")
        after = _state(path, agent.settings)
        seen = {file: now.get(file, stamp) for file, stamp in after.items()}


async def _everything_wrong(path: Path, error: ConfigError) -> list[str]:
    """All mistakes, those too that only workers meet. A process of its own looks for them: what
    reads rules would take this one's time and memory."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from app.cli import main; main()"),
        *("check", "--no-workers", "--config", str(path)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHECK_S):
            _, told = await process.communicate()
    except TimeoutError:
        return error.problems
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    found = told.decode(errors="replace").splitlines() if process.returncode == FAILED else []
    return in_file_order([*found, *error.problems])


def _renew(path: Path) -> None:
    """Make Northbound's own certificate anew when it is due; the file that changes is taken up."""
    try:
        _own_certificate(load(path))
    except (ConfigError, OSError) as error:
        log.error("The certificate cannot be renewed: %s", error)  # noqa: TRY400
    except Exception:  # a file that is damaged, say: changes are taken up all the same
        log.exception("The certificate cannot be renewed.")


def _state(path: Path, settings: AgentSettings) -> State:
    """Whether a file has changed shows in this."""
    tls = [each.tls for each in settings.listeners if each.tls is not None]
    files = [path, *(file for each in tls for file in each.files)]
    files += [file for each in settings.connectors for file in each.files]
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> Stamp:
    """Zeros where it is not there."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
