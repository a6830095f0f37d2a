"""`northbound rules`: check, list, test and explain Sigma rules."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.commands.options import compiled, configured, lists_here, there, warn
from app.config import DEFAULT_PATH, in_file_order
from app.output import FAILED, WRONG_USAGE, as_json, fail, rows, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from topology.lists import ActiveList, Step
    from topology.rules import Correlation, LogSource, Rule, Rules

app = typer.Typer(help="Check, list, test and explain Sigma rules.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(help="Rule files or folders.")]
Lists = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The northbound.yaml whose lists rules may name; ./northbound.yaml if there is one.",
        envvar="NORTHBOUND_CONFIG",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON lines.")]
COLUMNS = ("title", "kind", "level", "status", "logsource", "tags", "fields", "condition", "path")
CHECKED = ("title", "loads", "kind", "logsource", "fields", "path")


@app.command()
def check(paths: Paths, *, config: Lists = None, json: Json = False) -> None:
    """Say of each rule whether it loads, what it needs and what is wrong; 0 if all of them load.

    What stops a rule is on standard error, with file and line. Notes are what pySigma's validators
    say; they stop nothing.

    Example: northbound rules check rules/qumulo
    """
    from app.checked_rules import rows_of
    from app.rules import examined
    from topology.match.documents import RuleErrors

    there(paths)
    lists = _lists(config)
    known = lists_here() if lists is None else lists
    try:
        found = examined(paths, known, more_lists=lists is None)
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
    if not as_json(json):
        count = f"{len(found.rules.rules.events)} rules and {len(found.rules.rules.correlations)}"
        print(f"{count} correlations load")


@app.command(name="list")
def list_(
    paths: Paths,
    *,
    logsource: Annotated[
        str | None, typer.Option(help="Those for a log source: product=..,service=..")
    ] = None,
    level: Annotated[str | None, typer.Option(help="Those of this level.")] = None,
    tag: Annotated[
        str | None, typer.Option(help="Those with a tag that begins so: attack.t1486.")
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

    found = compiled(paths).rules
    wanted = wanted_logsource(logsource)
    chosen = [
        row
        for row in _table(found, wanted)
        if (level is None or row["level"] == level.lower())
        and (status is None or row["status"] == status.lower())
        and (tag is None or any(each.startswith(tag.lower()) for each in row["tags"]))
    ]
    rows(sorted(chosen, key=lambda row: str(row["path"])), COLUMNS, json=json)


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


def _lists(config: Path | None) -> "Mapping[str, ActiveList] | None":
    """The lists of a configuration; None where there is none, and so nothing says what is right."""
    if config is None and not DEFAULT_PATH.exists():
        return None
    return configured(config or DEFAULT_PATH).active_lists


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
def run_tests(paths: Paths, *, config: Lists = None) -> None:
    """Run the streams in `tests/` beside rules, from audit line to final alert.

    Example: northbound rules test rules/qumulo
    """
    from app.config import ConfigError
    from app.rule_streams import read_tests
    from app.rule_tests import differences, final_alerts
    from app.rules import TESTS, test_files

    files = list(test_files(paths))
    read, problems = [], []
    for file in files:
        try:
            read.append((file, read_tests(file)))
        except ConfigError as error:
            problems += error.problems
    rules = compiled(paths, lists=_lists(config), also=problems)
    if not files:
        places = {str((each if each.is_dir() else each.parent) / TESTS) for each in paths}
        fail(f"no tests in {', '.join(sorted(places))}")
    failed = 0
    for file, tests in read:
        for entry in tests:
            try:
                problems = differences(entry.alerts, final_alerts(rules, entry))
            except ValueError as error:
                fail(f"{file}: {entry.name}: {error}")
            failed += verdict(f"{entry.rule}: {entry.name}", problems)
    if failed:
        raise typer.Exit(FAILED)


@app.command()
def explain(
    rule: Annotated[Path, typer.Argument(help="A rule file; all rules in it are explained.")],
    event: Annotated[Path, typer.Argument(help="JSON lines; - reads standard input.")],
    *,
    line: Annotated[int, typer.Option(min=1, help="Which line of EVENT.")] = 1,
    map_: Annotated[
        list[Path] | None,
        typer.Option("--map", help="A field map; without one, fieldmap.yml beside the rule."),
    ] = None,
    json: Json = False,
) -> None:
    """Show which parts of a rule hold for an event and which do not, with the values seen.

    Example: northbound rules explain rules/qumulo/tree_delete.yml event.json
    """
    import sys
    from itertools import islice

    from app.event_lines import read_events
    from app.explaining import as_lines, explain_file
    from topology.match.documents import RuleErrors

    for path in (rule, *(map_ or ()), *([] if str(event) == "-" else [event])):
        if not path.is_file():
            fail(f"{path}: no such file", WRONG_USAGE)
    source = sys.stdin.buffer if str(event) == "-" else event.open("rb")
    with source:
        chosen = list(islice(source, line - 1, line))
    found = next(iter(read_events(chosen)), None)
    if found is None or found.problems:
        problem = found.problems[0][1] if found else "nothing in this line"
        fail(f"{event}:{line}: is no event: {problem}")
    try:
        explained = explain_file(rule, found.events, map_, lists_here())
    except RuleErrors as error:
        fail(error)
    for entry in explained:
        if as_json(json):
            sys.stdout.buffer.write(orjson.dumps(entry, default=str) + b"\n")
        else:
            print("\n".join(as_lines(entry)))
