"""`northbound match`: rules over a file of events, evaluated by the engine that workers run."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.commands.options import compiled, warn
from app.output import FAILED, WRONG_USAGE, errors, fail

if TYPE_CHECKING:
    import polars as pl

    from app.event_lines import Lines
    from topology.chained import Chains
    from topology.match.ruleset import RuleSet
    from topology.rules import Alert, Correlation, Hits, LogSource

ATTRIBUTES = ("product", "service", "category")
GREATEST = 2**63 - 1
TENANT = "match"


def match(
    events: Annotated[Path, typer.Argument(help="JSON lines; - reads standard input.")],
    *,
    rules: Annotated[list[Path], typer.Option(help="A rule file or a folder. Repeatable.")],
    map_: Annotated[
        list[Path] | None,
        typer.Option("--map", help="A field map; without one, names are as given."),
    ] = None,
    logsource: Annotated[
        str | None, typer.Option(help="Rules for these events only: product=..,service=..")
    ] = None,
    time_field: Annotated[
        str | None, typer.Option(help="The field with the event's time, for correlations.")
    ] = None,
) -> None:
    """Match events against Sigma rules, correlations included.

    One JSON object for each hit: rule (its id), title, events (0-based line numbers), group, time.
    The end of the input closes all windows. Events as tenants have them, or `northbound parse`
    prints them, need the field map of the rules.

    Example: northbound match --rules rules/qumulo --map rules/qumulo/fieldmap.yml events.ndjson
    """
    from app.event_lines import read_events

    wanted = wanted_logsource(logsource)
    for path in (*(map_ or ()), *([] if str(events) == "-" else [events])):
        if not path.exists():
            fail(f"{path}: no such file or folder", WRONG_USAGE)
    found = compiled(rules, maps=map_ or ())
    warn(found)
    if not found.rules.events:
        fail(f"no rules under {', '.join(map(str, rules))}")
    run = Matching(found, wanted, time_field)
    out = sys.stdout.buffer
    broken, hits = False, 0
    try:
        with nullcontext(sys.stdin.buffer) if str(events) == "-" else events.open("rb") as lines:
            for stretch in read_events(lines):
                for number, problem in stretch.problems:
                    broken = True
                    errors.print(f"{events}:{number + 1}: is no event: {problem}", markup=False)
                hits += _write(run.take(stretch))
        hits += _write(run.finish())
        out.flush()
        if not hits and run.ocsf and not map_ and (maps := field_maps(rules)):
            errors.print(
                "warning: no rule matched. These are events of OCSF, and rules have other names "
                f"for fields: --map {maps[0]}",
                markup=False,
            )
        elif not hits and sys.stdout.isatty():
            errors.print("No rule matched.")
    except BrokenPipeError:  # `head` has seen enough
        raise
    except OSError as error:
        fail(f"{events}: {error.strerror}")
    if run.timeless:
        errors.print(
            f"warning: {run.timeless} matches have no time, so no correlation or list has them; "
            f"--time-field names the field",
            markup=False,
        )
    if broken:
        raise typer.Exit(FAILED)


def _write(found: Iterable[object]) -> int:
    """Print hits, one JSON object a line; how many."""
    lines = [orjson.dumps(hit) + b"\n" for hit in found]
    sys.stdout.buffer.writelines(lines)
    return len(lines)


def field_maps(rules: list[Path]) -> list[Path]:
    """Those that workers would take for these rules."""
    from app.rules import FIELD_MAP, rule_files

    return [each for each in rule_files(rules) if each.name == FIELD_MAP]


def wanted_logsource(given: str | None) -> "LogSource | None":
    """What --logsource says; ends the command when that is no log source."""
    from topology.rules import LogSource

    if given is None:
        return None
    found: dict[str, str] = {}
    for part in given.split(","):
        name, equals, value = part.partition("=")
        if name.strip() not in ATTRIBUTES or not equals or not value.strip():
            fail(
                f"--logsource: saw {part!r}, expected {'=.., '.join(ATTRIBUTES)}=.. with commas "
                "between",
                WRONG_USAGE,
            )
        found[name.strip()] = value.strip()
    return LogSource(**found)


class Matching:
    """One run: hits of single events as they come, correlations once everything was read."""

    def __init__(
        self, rules: "RuleSet", logsource: "LogSource | None", time_field: str | None
    ) -> None:
        from app.offline_lists import OfflineLists

        self._rules = rules
        self._lists = OfflineLists(rules.rules) if rules.rules.lists else None
        self._logsource = logsource
        self._time_field = time_field
        self._groups: dict[bytes, list[Any]] = {}
        self._correlated = {
            member for entry in rules.rules.correlations for member in entry.members
        }
        self.timeless = 0
        """Matches that a correlation could not use."""
        self.ocsf = False
        """Whether events have attributes of OCSF, as those of tenants and of `parse` do."""

    def take(self, lines: "Lines") -> Iterator[dict[str, Any]]:
        """Hits of rules on single events, by line."""
        from app.event_lines import times

        self.ocsf = self.ocsf or "class_uid" in lines.events.columns
        hits = self._rules.match(lines.events, self._logsource)
        if not hits:
            return
        moments = times(lines.events, self._time_field)
        self._keep(lines, hits, moments)
        if self._lists is not None:
            hits = self._lists.direct(hits)
        found = [
            (row, index)
            for index, rows in hits.items()
            if self._rules.rules.events[index].alerts
            for row in rows.tolist()
        ]
        for row, index in sorted(found):
            rule = self._rules.rules.events[index].rule
            yield {
                "rule": rule.id,
                "title": rule.title,
                "events": [lines.numbers[row]],
                "group": {},
                "time": moments[row],
            }

    def _keep(self, lines: "Lines", hits: "Hits", moments: "pl.Series") -> None:
        """Remember what correlations count, as a worker would send it on."""
        import numpy as np
        import polars as pl

        from schemas.packed import read_partial
        from topology.correlate.chunks import unpack
        from topology.correlate.partials import partials
        from topology.rules import Rules

        timed = moments.is_not_null().to_numpy()
        lists = self._lists
        kept = self._correlated if lists is None else self._correlated | lists.members
        counted = {index: rows for index, rows in hits.items() if index in kept}
        usable = {index: rows[timed[rows]] for index, rows in counted.items()}
        self.timeless += sum(len(rows) for rows in counted.values())
        self.timeless -= sum(len(rows) for rows in usable.values())
        usable = {index: rows for index, rows in usable.items() if len(rows)}
        rules = self._rules.rules
        silent = tuple(_silent(rule) for rule in rules.events)
        uids = pl.Series("metadata.uid", [f"{number:012}" for number in lines.numbers])
        events = lines.events.with_columns(moments.fill_null(0), uids)
        if lists is not None:
            lists.take(events, usable)
            usable = lists.direct(usable)
        records = partials(
            events,
            usable,
            Rules(silent, rules.correlations),
            tenants=[TENANT],
            source=TENANT,
            watermarks=np.full(lines.events.height, -GREATEST),
        )
        for key, value in zip(records.keys, records.values, strict=True):
            partial = read_partial(value)
            matches = unpack(partial.times, partial.uids, partial.values)
            self._groups.setdefault(key, []).extend(matches)

    def finish(self) -> Iterator[dict[str, Any]]:
        """Hits of correlations, and of rules that ask lists, by time, as final alerts would be."""
        from topology.chained import Chains
        from topology.keys import group_of
        from topology.rules import Correlation

        chains = Chains(self._rules.rules.correlations)
        correlations = self._rules.rules.correlations
        groups: dict[str, dict[Any, list[Any]]] = {entry.rule.id: {} for entry in correlations}
        for key, matches in self._groups.items():
            _, name, group = group_of(key)
            groups[name][group] = matches
        found: list[tuple[int, str, Any, dict[str, Any]]] = []
        for each in correlations if self._lists is None else self._lists.order():
            if isinstance(each, Correlation):
                found += self._judged(each, chains, groups)
            elif self._lists is not None:
                alerts, fed = self._lists.judge(each)
                for alert in alerts:
                    group = tuple(text for _, text in alert.group)
                    found.append((alert.time, alert.rule.id, group, _hit(alert)))
                for counted, name, matches in fed:
                    groups[name].setdefault(counted, []).extend(matches)
        for *_, hit in sorted(found, key=lambda entry: entry[:3]):
            yield hit

    def _judged(
        self, correlation: "Correlation", chains: "Chains", groups: dict[str, dict[Any, list[Any]]]
    ) -> Iterator[tuple[int, str, Any, dict[str, Any]]]:
        """Hits of one correlation, which are matches of others and change lists."""
        from topology.correlate.episodes import arranged, judge
        from topology.keys import group_key

        name = correlation.rule.id
        for group, matches in groups[name].items():
            for episode in judge(arranged(matches), correlation, -GREATEST, GREATEST).episodes:
                key = group_key(TENANT, name, group)
                if self._lists is not None and self._lists.alerted(
                    key, correlation, episode, chains
                ):
                    continue
                for fed in chains.matches(name, group, episode):
                    groups[fed.correlation.rule.id].setdefault(fed.group, []).append(fed.match)
                if correlation.alerts:
                    hit = {
                        "rule": name,
                        "title": correlation.rule.title,
                        "events": sorted(int(uid) for _, uid, _ in episode.matches),
                        "group": dict(zip(correlation.group_by, group, strict=True)),
                        "time": episode.opened[0],
                    }
                    yield episode.opened[0], name, group, hit


def _hit(alert: "Alert") -> dict[str, Any]:
    """An alert of a rule whose lists let it pass."""
    return {
        "rule": alert.rule.id,
        "title": alert.rule.title,
        "events": sorted(map(int, alert.uids)),
        "group": dict(alert.group),
        "time": alert.time,
    }


def _silent(rule: Any) -> Any:
    from dataclasses import replace

    return replace(rule, alerts=False)
