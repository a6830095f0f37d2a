"""Alerts as OCSF 1.6.0 Detection Finding (class 2004) in JSON.

The state of an alert is `unmapped.state`: `provisional` (activity Create), `final` (Update for a
correlation, Create where nothing was said before), `superseded` (Close). All records of one alert
have the same `finding_info.uid`, which is the record's key; `metadata.uid` differs by state, so
that consumers that drop repeated uids keep them apart. All times are event times.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

import orjson

from topology.asset_priority import level_of
from topology.levels import LEVELS, Level
from topology.rules import LINKED, SHOWN, Alert, Rule
from topology.texts import LONGEST, is_shortened, shortened

VERSION = "1.6.0"
CATEGORY, CLASS = 2, 2004

SEVERITIES: Mapping[Level, tuple[int, str]] = {
    "informational": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
ACTIVITIES = {1: "Create", 2: "Update", 3: "Close"}
TECHNIQUE = re.compile(r"attack\.(t\d{4})(?:\.(\d{3}))?")
ANALYTIC_RULE = 1
NOTHING: tuple[Any, ...] = (None, [], {})
REMEMBERED = 8_192
"""Rules whose part of their alerts is not written again."""
STATUS_NEW, STATUS_OTHER = 1, 99


def encode(alert: Alert, product_version: str) -> bytes:
    """The finding as one line of JSON; equal alerts give equal bytes.

    Values that are too long for it are cut (topology/texts.py) and `metadata.is_truncated` says so.
    """
    if any(len(value) > LONGEST for value in _shown(alert)):
        alert = _fitting(alert)
    severity_id, severity = SEVERITIES[_level(alert)]
    activity = _activity(alert)
    superseded = alert.state == "superseded"
    members = _present(
        {
            "activity_id": activity,
            "activity_name": ACTIVITIES[activity],
            "category_name": "Findings",
            "category_uid": CATEGORY,
            "class_name": "Detection Finding",
            "class_uid": CLASS,
            "count": alert.count,
            "duration": alert.end - alert.start,
            "end_time": alert.end,
            "evidences": list(_evidences(alert)),
            "finding_info": _finding_info(alert),
            "is_alert": True,
            "message": _message(alert),
            "metadata": {
                **({"is_truncated": True} if _is_truncated(alert) else {}),
                "product": {
                    "name": "Northbound",
                    "vendor_name": "Northbound",
                    "version": product_version,
                },
                "tenant_uid": alert.tenant,
                "uid": f"{alert.uid}-{alert.state}",
                "version": VERSION,
            },
            "severity": severity,
            "severity_id": severity_id,
            "start_time": alert.start,
            "status": "Superseded" if superseded else "New",
            "status_id": STATUS_OTHER if superseded else STATUS_NEW,
            "time": alert.time,
            "type_name": f"Detection Finding: {ACTIVITIES[activity]}",
            "type_uid": CLASS * 100 + activity,
            "unmapped": _unmapped(alert),
        }
    )
    return orjson.dumps(members)


def _level(alert: Alert) -> Level:
    """That of the rule, or of the assets behind its events if they matter more."""
    found: Level = alert.rule.level
    if alert.priority is not None:
        found = max(found, alert.priority, key=LEVELS.index)
    for shown in alert.evidence:
        priority = shown.get("priority")
        if priority is not None:
            found = max(found, level_of(priority) or found, key=LEVELS.index)
    return found


def _fitting(alert: Alert) -> Alert:
    """Without values that are longer than matches of today have."""
    group = tuple((name, shortened(value)) for name, value in alert.group)
    evidence, counted, shown = (
        tuple({name: shortened(value) for name, value in each.items()} for each in some)
        for some in (alert.evidence, alert.counted, alert.shown)
    )
    return replace(alert, group=group, evidence=evidence, counted=counted, shown=shown)


def _evidences(alert: Alert) -> Iterator[dict[str, Any]]:
    """Fields of the event, or of a correlation's first events."""
    for evidence in alert.evidence:
        yield {"data": evidence}
    for uid, counted, shown in zip_longest(alert.uids[:SHOWN], alert.counted, alert.shown):
        if data := {**(counted or {}), **(shown or {})}:
            yield {"data": data, "uid": uid}


def _is_truncated(alert: Alert) -> bool:
    """Whether a value of the group or of the event is not there as a whole (topology/texts.py)."""
    return any(map(is_shortened, _shown(alert)))


def _shown(alert: Alert) -> Iterator[str]:
    for _, value in alert.group:
        yield value
    for shown in (*alert.evidence, *alert.counted, *alert.shown):
        yield from shown.values()


def _activity(alert: Alert) -> int:
    if alert.state == "superseded":
        return 3
    updates = alert.suppress_ms is not None and not alert.sudden
    return 2 if alert.state == "final" and updates else 1


def _finding_info(alert: Alert) -> dict[str, Any]:
    said = _said(alert.rule)
    linked = alert.uids[:LINKED]
    return _present(
        {
            "analytic": said.analytic,
            "attacks": said.attacks,
            "created_time": alert.time,
            "data_sources": list(alert.sources),
            "first_seen_time": alert.start,
            "last_seen_time": alert.end,
            "related_events": [{"uid": uid} for uid in linked],
            "related_events_count": alert.count,
            "title": alert.rule.title,
            "types": [alert.kind],
            "uid": alert.uid,
        }
    )


class _Said(NamedTuple):
    """What all alerts of a rule say of it, as JSON."""

    analytic: orjson.Fragment
    attacks: orjson.Fragment | None
    rule: orjson.Fragment


@lru_cache(maxsize=REMEMBERED)
def _said(rule: Rule) -> _Said:
    attacks = _attacks(rule)
    analytic = {
        "name": rule.title,
        "type": "Rule",
        "type_id": ANALYTIC_RULE,
        "uid": rule.id,
        "desc": rule.description,
    }
    about = {
        "id": rule.id,
        "name": rule.name,
        "author": rule.author,
        "license": rule.license,
        "level": rule.level,
        "status": rule.status,
        "tags": list(rule.tags),
        "references": list(rule.references),
        "falsepositives": list(rule.falsepositives),
    }
    return _Said(
        orjson.Fragment(orjson.dumps(_present(analytic))),
        orjson.Fragment(orjson.dumps(attacks)) if attacks else None,
        orjson.Fragment(orjson.dumps(_present(about))),
    )


def _attacks(rule: Rule) -> list[dict[str, Any]]:
    """MITRE ATT&CK techniques among the rule's tags; the tags themselves are under `unmapped`."""
    found = []
    for tag in rule.tags:
        technique = TECHNIQUE.fullmatch(tag)
        if technique:
            uid = technique[1].upper()
            attack: dict[str, Any] = {"technique": {"uid": uid}}
            if technique[2]:
                attack["sub_technique"] = {"uid": f"{uid}.{technique[2]}"}
            found.append(attack)
    return found


def _message(alert: Alert) -> str:
    group = ", ".join(f"{name} {value}" for name, value in alert.group)
    counted = f"{alert.count} event{'' if alert.count == 1 else 's'}"
    if alert.values is not None:
        counted += f" with {alert.values} different values"
    return f"{alert.rule.title}: {counted}" + (f" of {group}" if group else "")


def _unmapped(alert: Alert) -> dict[str, Any]:
    return _present(
        {
            "northbound_kind": "correlation",
            "state": alert.state,
            "superseded_by": alert.superseded_by,
            "group": dict(alert.group),
            "values": alert.values,
            "condition": alert.condition,
            "window_ms": alert.window_ms,
            "suppress_ms": alert.suppress_ms,
            "rule": _said(alert.rule).rule,
        }
    )


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    """Members that say something: absent attributes are left out."""
    return {name: value for name, value in members.items() if value not in NOTHING}
