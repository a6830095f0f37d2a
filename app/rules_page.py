"""Writes docs/rules.md from the rule files, so that it cannot be stale.

`python -m app.rules_page > docs/rules.md`; a test compares the two.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from app.rules import BESIDE, FIELD_MAP
from topology.match.extensions import SECTION

FOLDER = Path(__file__).parents[1] / "rules"
HEAD = """\
# Rules that come with Northbound

Sigma 2.1 rules, by product. Name the folder under `rules:` in northbound.yaml.
Windows are event time and sliding: `(t - window, t]`.
A group that crossed a threshold gives one alert with the count of all its matches; the same group
alerts again after the mute time at the earliest. Rules on one event alert for every such event.
Each rule has its tests in `tests/` beside it: streams that alert, and streams just below that do
not.
This page is written from the rule files (`python -m app.rules_page`).

## Correlation types

| type | what the condition compares, of the matches in a window |
| --- | --- |
| `event_count` | how many there are |
| `value_count` | how many different values `field` has; of several fields, how many tuples |
| `temporal` | how many of the listed rules matched; without a condition all have to |
| `temporal_ordered` | how many of the listed rules matched one after another, first rule first |
| `value_sum`, `value_avg`, `value_median` | sum, mean or median of the numbers in `field` |
| `value_percentile` | the `percentile` (0 to 100) of the numbers in `field`, interpolated |

`gte` and `gt` are judged at each match for the window that ends with it: the alert comes at once
(`provisional`) and is `final` when the window is closed. `lt`, `lte`, `eq` and `neq` are judged
when a window closes, as are ranges (`gte` with `lte`); it begins with a match. A sequence may list
a rule again, and each of its steps takes an event of its own. Events of one time are in the order
of their records.
A match without a value for one of the `group-by` fields joins no group and is counted
(`matches_without_group`); so is one without a value in `field`, or without a number where a number
is asked for (`matches_without_value`). Numbers are exact: up to 30 digits before and after the
point, exponents up to two digits; text that reads as one counts. The listed rules alert on their
own only with `generate: true`. `aliases` name a `group-by` field for each rule.

What Northbound adds is under `northbound:`, which other Sigma tools ignore:

| key | what |
| --- | --- |
| `suppress: 10m` | the mute time; without it, it is the timespan |
| `absent: [rule]` | absence: a match alerts if none of these rules follows in its group |
| `first_seen: true` | a match alerts if its group had none for a timespan before it |
| `since: 2026-12-24` | with `first_seen`: from when on it alerts, in event time |
| `lists: [...]` | what it does to [active lists](lists.md), and asks of them |
| `alert: false` | it does that, and nobody is alerted |

`absent` and `first_seen` go with `event_count` and `gte: 1` alone. Absence is judged when the
timespan that begins with the match is over; a match of an absent rule in the same millisecond
counts as one that followed.
"""
ABOUT = {
    "cross-source": """\
Over several sources of one tenant, joined by user name or address. Users are compared as they are
written, without domain: where one source has Alice and another alice, `lower: true` under `mutate`
makes them one. Fields are attributes of OCSF, as in all folders without fields of their own.""",
    "qumulo-hunting": """\
For looking, not for being woken up: what is common on a busy server, too. northbound.yaml does not
load it; `rules: [rules/qumulo, rules/qumulo-hunting]` does. Nearly every event is counted by one of
these, which costs a few microseconds each and memory for as long as their windows.""",
}
"""What is said of a folder before its rules."""
COLUMNS = (
    "rule",
    "fires when",
    "level",
    "threshold",
    "window",
    "mute",
    "source",
    "false positives",
)
COUNTED = {"temporal": "rules", "temporal_ordered": "rules in order"}
OPERATORS = {"gte": "≥", "gt": ">", "lte": "≤", "lt": "<", "eq": "=", "neq": "≠"}


def rules_page(folder: Path = FOLDER) -> str:
    """The page, as Markdown."""
    parts = [HEAD]
    shown: dict[str, str] = {}
    for pack in packs(folder):
        parts.append(f"## {pack.name}\n")
        if pack.name in ABOUT:
            parts.append(ABOUT[pack.name] + "\n")
        rules = [
            (path, rule) for path in rule_files(pack) for rule in alerting(read_documents(path))
        ]
        parts.append(_table(COLUMNS, (_row(pack, path, rule) for path, rule in rules)))
        parts.append("### Why these thresholds\n")
        parts += [f"- **{rule['title']}**: {_why(rule)}" for _, rule in rules]
        parts[-1] += "\n"
        if not (pack / FIELD_MAP).exists():
            continue
        parts.append(f"### Fields of {pack.name} rules\n")
        table = _table(("field", "event column"), _fields(pack))
        same = shown.setdefault(table, pack.name)
        parts.append(table if same == pack.name else f"Those of {same} rules.\n")
    return "\n".join(parts)


def packs(folder: Path = FOLDER) -> list[Path]:
    """The folders of rules."""
    return sorted(path for path in folder.iterdir() if any(path.glob("*.yml")))


def rule_files(pack: Path) -> list[Path]:
    """The files of a folder that hold rules."""
    return [path for path in sorted(pack.glob("*.yml")) if path.name not in BESIDE]


def alerting(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The documents of one file that alert: correlations, and rules that none refers to."""
    referred = {
        str(name)
        for document in documents
        if not document.get("correlation", {}).get("generate", False)
        for name in (
            *document.get("correlation", {}).get("rules", ()),
            *document.get(SECTION, {}).get("absent", ()),
        )
    }
    for document in documents:
        if not referred & {str(document.get("name")), str(document.get("id"))}:
            yield document


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a rule file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _row(pack: Path, path: Path, rule: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"[{rule['title']}](../rules/{pack.name}/{path.name})",
        rule["description"].partition("Threshold: ")[0],
        rule["level"],
        *_condition(rule),
        ", ".join(_link(url) for url in rule.get("references", ())),
        "; ".join(rule.get("falsepositives", ())),
    )


def _why(rule: Mapping[str, Any]) -> str:
    return " ".join(rule["description"].partition("Threshold: ")[2].split())


def _condition(rule: Mapping[str, Any]) -> tuple[str, str, str]:
    """Threshold with its group, window and mute time."""
    correlation = rule.get("correlation")
    if correlation is None:
        return "one event", "", ""
    condition = dict(correlation.get("condition", {}))
    kind = correlation["type"]
    if kind in COUNTED and not condition:
        condition = {"gte": len(correlation["rules"])}
    field = condition.pop("field", None)
    counted = COUNTED.get(kind, "events") if not field else f"different `{field}`"
    compared = " and ".join(f"{OPERATORS[name]} {count}" for name, count in condition.items())
    group = ", ".join(f"`{name}`" for name in correlation.get("group-by", ()))
    window = correlation["timespan"]
    extensions = rule.get(SECTION, {})
    absent = "".join(f", then no `{name}`" for name in extensions.get("absent", ()))
    if extensions.get("first_seen"):
        return f"first seen by {group}", window, ""
    return f"{counted} {compared} by {group}{absent}", window, extensions.get("suppress", window)


def _link(url: str) -> str:
    """The address as a link that shows its host and what it is about."""
    parts = urlsplit(url)
    path = PurePosixPath(parts.path)
    name = f"{path.parent.name}.{path.stem}" if path.stem.isdigit() else path.stem
    return f"[{parts.netloc}: {name}]({url})"


def _fields(pack: Path) -> Iterator[tuple[str, ...]]:
    content = yaml.safe_load((pack / FIELD_MAP).read_text(encoding="utf-8"))
    for field, columns in content["fields"].items():
        listed = columns if isinstance(columns, list) else [columns]
        yield f"`{field}`", ", ".join(f"`{column}`" for column in listed)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head)]
    lines += [tuple(" ".join(cell.split()).replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rules_page())
