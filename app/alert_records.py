"""Records of alerts feeds in any format that is JSON, read back as findings. Pure.

A finding is a mapping as topology/northbound/finding.py writes it, of which the other formats have
some members: ECS names no events, and an indicator has them in records of their own.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from topology.northbound.indicators import DETAILS, SUMMARY


def findings(values: Iterable[bytes | None], uid: str) -> list[dict[str, Any]]:
    """What was said of the alert with this `finding_info.uid`, in order, or of it in the one state
    that a `metadata.uid` names; it may have been given to several tenants. Formats that are no JSON
    have the alert in another feed, or not at all."""
    needle = uid.encode()
    found: list[dict[str, Any]] = []
    for value in values:
        if value is None or not value.startswith(b"{") or needle not in value:
            continue
        record = orjson.loads(value)
        if record.get("event_type") == DETAILS:
            _link(found, record)
            continue
        finding = _finding(record)
        if finding is not None and uid in (
            finding["metadata"]["uid"],
            finding["finding_info"].get("uid"),
        ):
            found.append(finding)
    return found


def _finding(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Raises nothing: what is no alert is None."""
    if "finding_info" in record and "uid" in record.get("metadata", {}):
        return dict(record)
    if record.get("event_type") == SUMMARY and "uid" in record:
        return _of_indicator(record)
    if "ecs" in record and "alert_uid" in record.get("labels", {}):
        return _of_ecs(record)
    return None


def _of_indicator(record: Mapping[str, Any]) -> dict[str, Any]:
    details = record.get("occurrence_details", {})
    return {
        "metadata": {"uid": record["uid"]},
        "finding_info": {
            "title": record.get("indicator_name", ""),
            "uid": record.get("indicator_uuid"),
            "related_events": [],
            "related_events_count": details.get("event_count", 0),
        },
        "severity": str(record.get("severity", "")).capitalize(),
        "message": record.get("message", ""),
        "unmapped": {"state": record.get("state", ""), "group": details.get("group", {})},
    }


def _link(found: Iterable[dict[str, Any]], record: Mapping[str, Any]) -> None:
    """An event of an indicator comes behind its summary."""
    for finding in _of(found, f"{record.get('uid', '')}"):
        events = finding["finding_info"]["related_events"]
        event = {"uid": record.get("event_id", "")}
        if event not in events:  # the feeds of two tenants
            events.append(event)


def _of(found: Iterable[dict[str, Any]], uid: str) -> Iterator[dict[str, Any]]:
    return (each for each in found if uid.startswith(f"{each['metadata']['uid']}-"))


def _of_ecs(record: Mapping[str, Any]) -> dict[str, Any]:
    rule, labels, event = (record.get(name, {}) for name in ("rule", "labels", "event"))
    return {
        "metadata": {"uid": event.get("id")},
        "finding_info": {
            "title": rule.get("name", ""),
            "uid": labels["alert_uid"],
            "related_events_count": event.get("count", 0),
        },
        "severity": "",
        "message": record.get("message", ""),
        "unmapped": {"state": labels.get("alert_state", "")},
    }
