"""What one batch of sub-topology 2 leads to: alerts for tenants, dead letters, counts."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from schemas.codec import encode
from topology.mask import MARK
from topology.northbound import finding
from topology.northbound.findings import Form, encode_findings
from topology.records import Batch, Outcome, Output
from topology.rules import Alert
from topology.texts import shortened
from topology.topics import Names


class Outbox:
    """What one batch leads to."""

    def __init__(
        self,
        names: Names,
        version: str,
        formats: Mapping[str, Form],
        masked: Collection[str] = frozenset(),
    ) -> None:
        """`formats`: of each tenant's alerts. `masked`: tenants with a mask."""
        self.counts: Counter[str] = Counter()
        self.unread: list[tuple[Exception, bytes, bytes]] = []
        """What was kept and cannot be read, with key and value, until `refuse` is told of it."""
        self._names = names
        self._version = version
        self._formats = formats
        self._masked = masked
        self._alerts: dict[str, tuple[list[bytes], list[bytes]]] = {}
        self._refused: list[bytes] = []
        self._matches: list[tuple[bytes, bytes]] = []
        self._written: list[Output] = []

    def say(self, alert: Alert) -> None:
        """Write an alert to its tenant."""
        self.counts[f"alerts_{alert.state}"] += 1
        if alert.tenant in self._masked:
            alert = _without_dropped(alert)
        keys, values = self._alerts.setdefault(alert.tenant, ([], []))
        keys.append(alert.uid.encode())
        values.append(finding.encode(alert, self._version))

    def feed(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Send keys and Partials back to `matches`."""
        self._matches += records

    def write(self, output: Output) -> None:
        """Send records that are made already."""
        self._written.append(output)

    def refuse(
        self,
        batch: Batch,
        row: int,
        error: Exception,
        part: tuple[int, bytes, bytes] | None = None,
    ) -> None:
        """Keep a record of `matches` that cannot be read as a dead letter.

        `part`: number, key and value of the one part of it that this is about.
        """
        self.counts["dead_letters"] += 1
        partition, offset = int(batch.partitions[row]), int(batch.offsets[row])
        key, value, place = batch.keys[row], batch.values[row], ""
        if part is not None:
            place, key, value = f"-{part[0]}", *part[1:]
        letter = {
            "source": batch.topic,
            "stage": "alerts",
            "reason": shortened(f"{type(error).__name__}: {error}"),
            "component": "matches",
            "version": self._version,
            "raw": value,
            "key": key,
            "topic": batch.topic,
            "partition": partition,
            "offset": offset,
            "timestamp": int(batch.timestamps[row]),
            "uid": f"{batch.topic}-{partition}-{offset}{place}",
        }
        self._refused.append(encode("DeadLetter", letter))

    def outcome(self) -> Outcome:
        """Everything as records."""
        outputs = [
            Output(
                self._names.alerts(tenant), *encode_findings(keys, values, self._formats[tenant])
            )
            for tenant, (keys, values) in self._alerts.items()
        ]
        if self._matches:
            keys, values = map(list, zip(*self._matches, strict=True))
            outputs.append(Output(self._names.matches, values, keys))
        outputs += self._written
        if self._refused:
            outputs.append(Output(self._names.dead_letters, self._refused))
        return Outcome(outputs, counts=dict(self.counts))


def _without_dropped(alert: Alert) -> Alert:
    """An alert without the values that its tenant's mask drops (topology/mask.py MARK), and without
    those that rules count, which see them as they are."""
    group = tuple(pair for pair in alert.group if not pair[1].startswith(MARK))
    evidence, shown = (
        [{name: text for name, text in each.items() if not text.startswith(MARK)} for each in some]
        for some in (alert.evidence, alert.shown)
    )
    told = tuple(each for each in evidence if each)
    return replace(alert, group=group, evidence=told, counted=(), shown=tuple(shown))
