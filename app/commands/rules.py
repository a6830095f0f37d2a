"""`northbound rules`: check, list, test and explain Sigma rules."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.commands.options import compiled, config_here, configured, there, warn
from app.config import DEFAULT_PATH, Config, in_file_order
from app.output import FAILED, WRONG_USAGE, as_json, fail, rows, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from topology.lists import Step
    from topology.rules import Correlation, LogSource, Rule, Rules

app = typer.Typer(help="Check, list, test and explain Sigma rules.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(help="Rule files or folders.")]
Deployment = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The northbound.yaml whose lists and rules these may name; ./northbound.yaml if there "
        "is one.",
        envvar="NORTHBOUND_CONFIG",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON lines.")]
STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")
LARGEST_EVENT = 16 << 20
"""Bytes of an event that is spread over lines."""
COLUMNS = ("title", "kind", "level", "status", "logsource", "tags", "fields", "condition", "path")
CHECKED = ("title", "loads", "kind", "logsource", "fields", "path")


@app.command()
def check(paths: Paths, *, config: Deployment = None, json: Json = False) -> None:
    """Say of each rule whether it loads, what it needs and what is wrong; 0 if all of them load.

    What stops a rule is on standard error, with file and line. Notes are what pySigma's validators
    say; they stop nothing.

    Example: northbound rules check rules/qumulo
    """
    from app.checked_rules import rows_of
    from app.deployed_rules import deployed
    from app.rules import examined
    from topology.match.documents import RuleErrors
    from topology.match.validators import notes

    there(paths)
    known = _deployment(config)
    try:
        found = examined(
            paths,
            known.active_lists if known else {},
            more_lists=known is None,
            elsewhere=partial(deployed, known, paths, maps=True) if known else None,
            validate=notes,
        )
    except RuleErrors as error:
        fail("\n".join(in_file_order(error.problems)))
    table = rows_of(found, _table(found.rules.rules))
    rows(table, CHECKED, json=json)
    if not as_json(json):
        for note in RuleErrors(found.notes).problems:
            print(f"note: {note}")
    warn(found.rules)
    if found.problems:
        fail("\n".join(in_file_order(RuleErrors(found.problems).problems)))
    if not table:
        fail(f"no rules under {', '.join(map(str, paths))}; expected files named *.yml or *.yaml")
    if not as_json(json):
        kinds = [row["kind"] for row in table]
        events = sum(kind in ("event", "base") for kind in kinds)
        correlations = len(kinds) - events - kinds.count("filter")
        print(f"{events} rules and {correlations} correlations load")


@app.command(name="list")
def list_(
    paths: Paths,
    *,
    logsource: Annotated[
        str | None, typer.Option(help="Those for a log source: product=..,service=..")
    ] = None,
    level: Annotated[str | None, typer.Option(help="Those of this level.")] = None,
    tag: Annotated[
        str | None, typer.Option(help="Those with a tag that begins so: attack.t1486, or t1486.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Those of this status: stable, test, …")
    ] = None,
    json: Json = False,
) -> None:
    """Show rules with what they need: log source, event columns, condition.

    Example: northbound rules list rules/qumulo --tag attack.impact --level high
    """
    from app.commands.match import wanted_logsource
    from app.rules import rule_files
    from topology.levels import LEVELS

    for option, said, known in (("--level", level, LEVELS), ("--status", status, STATUSES)):
        if said is not None and said.lower() not in known:
            fail(f"{option}: saw {said!r}, expected one of {', '.join(known)}", WRONG_USAGE)
    wanted = wanted_logsource(logsource)
    found = compiled(paths).rules
    named = set(map(str, rule_files(paths)))
    chosen = [
        row
        for row in _table(found, wanted)
        if _place(row)[0] in named
        and (level is None or row["level"] == level.lower())
        and (status is None or row["status"] == status.lower())
        and (tag is None or any(_begins(each.lower(), tag.lower()) for each in row["tags"]))
    ]
    rows(sorted(chosen, key=_place), COLUMNS, json=json)


def _begins(tag: str, said: str) -> bool:
    """Whether a tag begins so, with or without its namespace."""
    return tag.startswith(said) or tag.partition(".")[2].startswith(said)


def _place(row: "Mapping[str, Any]") -> tuple[str, int]:
    """File and line."""
    file, _, line = row["path"].rpartition(":")
    return file, int(line)


def _table(found: "Rules", wanted: "LogSource | None" = None) -> list[dict[str, Any]]:
    """What rules need, each in one row; those for a log source, if one is given."""
    table = [
        {
            **_about(entry.rule),
            "kind": "event" if entry.alerts else "base",
            "logsource": str(entry.logsource),
            "fields": " ".join(entry.columns),
            "condition": _steps(found.steps.get(entry.rule.id, ())),
        }
        for entry in found.events
        if wanted is None or entry.logsource.covers(wanted)
    ]
    table += [
        {
            **_about(entry.rule),
            "kind": entry.type,
            "logsource": " ".join(sorted(map(str, _log_sources(entry, found)))),
            "fields": " ".join(entry.group_by),
            "condition": _condition(entry),
        }
        for entry in found.correlations
        if wanted is None or any(each.covers(wanted) for each in _log_sources(entry, found))
    ]
    return table


def _deployment(config: Path | None) -> Config | None:
    """A configuration; None where there is none, and so nothing says which lists are right."""
    if config is None and not DEFAULT_PATH.exists():
        return None
    return configured(config or DEFAULT_PATH)


def _log_sources(entry: "Correlation", rules: "Rules") -> set["LogSource"]:
    """Of the events that a correlation counts, those behind the alerts that it counts too."""
    counted = {each.rule for each in entry.chained}
    found = {rules.events[at].logsource for at in entry.members}
    for below in rules.correlations:
        if below.rule.id in counted:
            found |= _log_sources(below, rules)
    return found


def _about(rule: "Rule") -> dict[str, Any]:
    return {
        "title": rule.title,
        "level": rule.level,
        "status": rule.status or "",
        "id": rule.id,
        "tags": list(rule.tags),
        "path": f"{rule.path}:{rule.line}",
    }


def _condition(entry: "Correlation") -> str:
    return f"{entry.condition} in {entry.timespan_ms // 1000}s"


def _steps(steps: "Sequence[Step]") -> str:
    return ", ".join(f"{step.action} {step.list.name}" for step in steps)


@app.command(name="test")
def run_tests(paths: Paths, *, config: Deployment = None) -> None:
    """Run the streams in `tests/` beside rules, from audit line to final alert.

    Example: northbound rules test rules/qumulo
    """
    from app.config import ConfigError
    from app.rule_streams import read_tests
    from app.rule_tests import differences, final_alerts, of_folder
    from app.rules import TESTS, test_files

    files = list(test_files(paths))
    read, problems = [], []
    for file in files:
        try:
            read.append((file, read_tests(file)))
        except ConfigError as error:
            problems += error.problems
    rules = compiled(paths, config=_deployment(config), also=problems)
    if not any(tests for _, tests in read):
        places = {
            str(each / TESTS if each.is_dir() else each.parent / TESTS / each.name)
            for each in paths
        }
        fail(f"no tests in {', '.join(sorted(places))}")
    failed = 0
    for file, tests in read:
        for entry in tests:
            try:
                found = of_folder(file, entry, rules, final_alerts(rules, entry))
                problems = differences(entry.alerts, found)
            except ValueError as error:
                fail(f"{file}: {entry.name}: {error}")
            failed += verdict(f"{entry.rule}: {entry.name}", problems)
    if failed:
        raise typer.Exit(FAILED)


@app.command()
def explain(
    rules: Annotated[
        list[Path],
        typer.Argument(metavar="RULE", help="Rule files or folders, of which all is explained."),
    ],
    event: Annotated[
        Path, typer.Argument(help="JSON lines, or one JSON object; - reads standard input.")
    ],
    *,
    line: Annotated[int, typer.Option(min=1, help="Which line of EVENT.")] = 1,
    map_: Annotated[
        list[Path] | None,
        typer.Option("--map", help="A field map; without one, fieldmap.yml beside each rule."),
    ] = None,
    json: Json = False,
) -> None:
    """Show which parts of a rule hold for an event and which do not, with the values seen.

    Rules of northbound.yaml that a correlation counts are shown below it, with their place.

    Example: northbound rules explain rules/qumulo/tree_delete.yml event.json
    """
    import sys
    from itertools import islice

    from app.event_lines import read_events
    from app.explaining import as_lines, explain_rules
    from topology.match.documents import RuleErrors

    there(rules)
    for path in (*(map_ or ()), *([] if str(event) == "-" else [event])):
        if not path.is_file():
            fail(f"{path}: no such file", WRONG_USAGE)
    source = sys.stdin.buffer if str(event) == "-" else event.open("rb")
    with source:
        chosen = list(islice(source, line - 1, line))
        found = next(read_events(chosen), None)
        if (found is None or found.problems) and line == 1:  # one object over several lines
            whole = b"".join([*chosen, source.read(LARGEST_EVENT)])
            found = next((each for each in read_events([whole]) if not each.problems), found)
    if found is None or found.problems:
        problem = found.problems[0][1] if found else "nothing in this line"
        fail(f"{event}:{line}: is no event: {problem}")
    try:
        explained = explain_rules(rules, found.events, map_, config_here())
    except RuleErrors as error:
        fail(error)
    if not explained:
        fail(f"no rules under {', '.join(map(str, rules))}; expected files named *.yml or *.yaml")
    for entry in explained:
        if as_json(json):
            sys.stdout.buffer.write(orjson.dumps(entry, default=str) + b"\n")
        else:
            print("\n".join(as_lines(entry)))
