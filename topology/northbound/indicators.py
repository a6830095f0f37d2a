"""Alerts as a summary and a record for each of their events, told apart by `event_type`, joined by
`indicator_uuid`: the split of Citrix Analytics' data exports for SIEMs.

Source: Citrix, "Citrix Analytics data exports format for SIEM" (indicatorSummary,
indicatorEventDetails, at most 1,000 event details in chronological order), and the tables of its
Sentinel solution. Members that only Citrix' own scores could fill are left out; docs/outputs.md has
the form.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from topology.moments import text_of

VERSION: Final = 1
"""Of the form; a member may be added without a new one."""
SUMMARY, DETAILS = "indicatorSummary", "indicatorEventDetails"
ENTITIES: Final = {
    "actor.user": "user",
    "user": "user",
    "src_endpoint": "endpoint",
    "device": "endpoint",
    "dst_endpoint": "endpoint",
    "file": "file",
}
"""What the entity of an alert is, by the object of the attribute that it is grouped by; the first
of these that there is counts."""
TACTIC: Final = "attack."


def split(
    keys: Sequence[bytes], findings: Sequence[bytes]
) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Alerts in OCSF JSON (topology/northbound/finding.py) as values and keys of summaries, each
    before its details. An alert that is superseded has a summary alone."""
    made_keys, values = [], []
    for key, finding in zip(keys, findings, strict=True):
        for record in _records(orjson.loads(finding)):
            made_keys.append(key)
            values.append(orjson.dumps(record))
    return values, made_keys


def _records(finding: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    info, more = finding["finding_info"], finding["unmapped"]
    entity_type, entity_id = _entity(more.get("group", {}), finding["metadata"]["tenant_uid"])
    common = {
        "version": VERSION,
        "tenant_id": finding["metadata"]["tenant_uid"],
        "entity_type": entity_type,
        "entity_id": entity_id,
        "indicator_id": more["rule"]["id"],
        "indicator_uuid": info["uid"],
        "timestamp": text_of(finding["time"]),
    }
    tags = more["rule"].get("tags", [])
    tactics = [tag.removeprefix(TACTIC) for tag in tags if _tactic(tag)]
    yield _present(
        {
            "event_type": SUMMARY,
            **common,
            "uid": finding["metadata"]["uid"],
            "state": more["state"],
            "superseded_by": more.get("superseded_by"),
            "indicator_name": info["title"],
            "indicator_type": info["types"][0],
            "indicator_category": tactics[0] if tactics else None,
            "severity": finding["severity"].lower(),
            "data_source": ", ".join(info.get("data_sources", ())),
            "message": finding["message"],
            "occurrence_details": _present(
                {
                    "event_count": finding["count"],
                    "distinct_values": more.get("values"),
                    "condition": more.get("condition"),
                    "window_ms": more.get("window_ms"),
                    "observation_start_time": text_of(finding["start_time"]),
                    "observation_end_time": text_of(finding["end_time"]),
                    "group": more.get("group"),
                }
            ),
        }
    )
    if more["state"] == "superseded":
        return
    evidences = finding.get("evidences", ())
    alone = [each["data"] for each in evidences if "uid" not in each]
    shown = {each["uid"]: each["data"] for each in evidences if "uid" in each}
    for number, event in enumerate(info.get("related_events", ())):
        yield _present(
            {
                "event_type": DETAILS,
                **common,
                "uid": f"{finding['metadata']['uid']}-{event['uid']}",
                "event_id": event["uid"],
                "event_number": number + 1,
                "event": alone[number] if number < len(alone) else shown.get(event["uid"]),
            }
        )


def _entity(group: Mapping[str, str], tenant: str) -> tuple[str, str]:
    """Whom an alert is about; the tenant where it is grouped by nobody."""
    for stem, kind in ENTITIES.items():
        for attribute, value in group.items():
            if attribute.startswith(f"{stem}."):
                return kind, value
    for attribute, value in group.items():
        return attribute, value
    return "tenant", tenant


def _tactic(tag: str) -> bool:
    """attack.exfiltration, and not attack.t1048 or attack.g0049."""
    name = tag.removeprefix(TACTIC)
    return tag.startswith(TACTIC) and not any(sign.isdigit() for sign in name)


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, "", {}, [])}
