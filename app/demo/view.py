"""The demo's live view: what flows, how fast, and the alerts as a consumer receives them."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

PLAIN_EVERY = 2.0
"""Seconds between lines where there is no terminal to draw on."""
ALERTS_SHOWN = 12
COLORS = {"final": "bold red", "provisional": "yellow", "superseded": "dim"}


@dataclass(slots=True)
class Figures:
    """Totals at one moment; latencies in ms from receipt of the line to the consumer."""

    lines_in: int = 0
    events_out: int = 0
    alerts: int = 0
    dead_letters: int = 0
    p50: float = 0.0
    p99: float = 0.0


class View:
    """A table that redraws on a terminal, and a line now and then elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._alerts: deque[Text] = deque(maxlen=ALERTS_SHOWN)
        self._live: Live | None = None
        self._before: tuple[float, int] = (time.monotonic(), 0)
        self._said = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def alert(self, finding: dict[str, Any]) -> None:
        """Show one alert (OCSF Detection Finding) that the consumer received."""
        state = finding.get("unmapped", {}).get("state", "")
        group = ", ".join(
            str(value) for value in finding.get("unmapped", {}).get("group", {}).values()
        )
        line = Text()
        line.append(f"{state:<12}", style=COLORS.get(state, ""))
        line.append(f"{finding.get('severity', ''):<9}")
        line.append(f"{finding.get('finding_info', {}).get('title', '')}  ")
        line.append(group, style="cyan")
        line.append(f"  {finding.get('count', 1):,} events", style="dim")
        self._alerts.append(line)
        if self._live is None:
            self._console.print(line, soft_wrap=True)

    def show(self, figures: Figures, note: str) -> None:
        """Draw the present figures; `note` says what is being waited for."""
        now = time.monotonic()
        then, before = self._before
        rate = (figures.events_out - before) / max(now - then, 0.001)
        if now - then >= 1.0:
            self._before = (now, figures.events_out)
        if self._live is not None:
            self._live.update(self._drawn(figures, rate, note))
        elif now - self._said >= PLAIN_EVERY:
            self._said = now
            self._console.print(
                f"{note}: lines in {figures.lines_in:,}, events out {figures.events_out:,}, "
                f"alerts {figures.alerts:,}, dead letters {figures.dead_letters:,}, "
                f"{rate:,.0f} events/s, latency p50 {figures.p50:.0f} ms p99 {figures.p99:.0f} ms",
                highlight=False,
                soft_wrap=True,
            )

    def _drawn(self, figures: Figures, rate: float, note: str) -> Group:
        table = Table(expand=False, show_edge=False, pad_edge=False)
        columns = {
            "lines in": f"{figures.lines_in:,} of {self._total:,}",
            "events out": f"{figures.events_out:,}",
            "alerts": f"{figures.alerts:,}",
            "dead letters": f"{figures.dead_letters:,}",
            "events/s": f"{rate:,.0f}",
            "latency p50": f"{figures.p50:.0f} ms",
            "p99": f"{figures.p99:.0f} ms",
        }
        for name in columns:
            table.add_column(name, justify="right", min_width=9)
        table.add_row(*columns.values())
        alerts = Panel(Text("\n").join(self._alerts), title="alerts as acme's consumer sees them")
        return Group(table, alerts, Text(note, style="dim"))
