"""Sources that fall silent, as monitoring events: logged, counted, told to another source."""

import datetime as dt
import json
import logging
import socket
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.ingest.ledger import Ledger
from app.ingest.publisher import Publisher
from app.ingest.settings import AgentSettings
from app.ingest.silence import Report, Silence
from topology.topics import Names

log = logging.getLogger(__name__)


class SourceMonitor:
    """Watches what the listeners receive. `reports`: events so far, by source and kind."""

    def __init__(self, client: Mapping[str, Any], names: Names, settings: AgentSettings) -> None:
        self.reports: Counter[tuple[str, str]] = Counter()
        self._client = client
        self._names = names
        self._silence = Silence(settings.silent_after, settings.low_rate)
        self._alert_on: Mapping[str, Collection[str]] = {}
        self._source: str | None = None
        self._publisher: Publisher | None = None
        self.apply(settings)

    def apply(self, settings: AgentSettings) -> None:
        """Go over to other settings."""
        self._silence.silent_after = dict(settings.silent_after)
        self._silence.low_rate = dict(settings.low_rate)
        self._alert_on = settings.alert_on
        if settings.monitor == self._source:
            return
        self.close()
        self._source = settings.monitor
        topic = self._names.raw(self._source) if self._source else ""
        self._publisher = Publisher(self._client, topic) if topic else None

    def check(self, now: float, ledgers: Sequence[Ledger]) -> None:
        """Called every second. `now`: a monotonic clock."""
        received: Counter[str] = Counter()
        for each in ledgers:
            received[each.source] += each.received
        for report in self._silence.check(now, received):
            self.reports[report.source, report.kind] += 1
            log.log(logging.INFO if report.kind == "back" else logging.WARNING, "%s.", report.text)
            if self._publisher is not None:
                alert = report.kind in self._alert_on.get(report.source, ())
                self._publisher.publish([event(report, alert=alert)], report.source.encode())
        if self._publisher is not None:
            self._publisher.poll(now)

    def close(self) -> None:
        """Publish what is left. Blocks up to a second."""
        if self._publisher is not None:
            self._publisher.flush(1.0)


def event(report: Report, *, alert: bool) -> bytes:
    """A monitoring event as a JSON line; without blanks, as rules/northbound look for its members.
    `alert`: these rules are to raise one."""
    members = {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "monitor": f"source_{report.kind}",
        "source": report.source,
        "agent": socket.gethostname(),
        "message": report.text,
        "silent_seconds": round(report.silent_s),
        "rate": round(report.rate, 3),
        "usual_rate": round(report.usual, 3),
        "alert": alert,
    }
    return json.dumps(members, separators=(",", ":")).encode()
