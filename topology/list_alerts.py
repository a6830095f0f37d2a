"""Alerts that lists let pass: what is said of them, and how those of correlations go there.

The alert of a correlation stands in the record as `f`: what is not known from its rule and its
group, by name.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

from topology import findings
from topology.correlate.list_key import Content, Entry, Passed
from topology.keys import group_key
from topology.levels import LEVELS
from topology.list_contents import placed, texts
from topology.lists import ACTIONS, TESTS, Step
from topology.moments import text_of
from topology.rules import Alert, Correlation, EventRule

NUMBERS: Final = ("time", "start", "end", "count")
TEXTS: Final = ("uids", "sources")
SHOWN: Final = ("counted", "shown")
WRONG: Final = (ValueError, KeyError, TypeError, AttributeError, struct.error)
"""What is raised where nothing can be done with something."""


def written(alert: Alert) -> Content:
    """The alert of a correlation as `f` has it."""
    return {
        "uid": alert.uid,
        "values": alert.values,
        **{name: getattr(alert, name) for name in (*NUMBERS, *TEXTS)},
        **({} if alert.priority is None else {"priority": alert.priority}),
        **{name: told for name in SHOWN if (told := getattr(alert, name))},
    }


def check(content: Content) -> None:
    """Raises ValueError, KeyError, AttributeError or TypeError for what nothing can be done with:
    a record is refused when it comes, and not when its time has come."""
    if content["a"] not in ACTIONS or not isinstance(content["r"], str):
        raise ValueError(f"saw {content['a']!r}, expected one of {', '.join(ACTIONS)} and a rule")
    (content.get("t") or 0).__index__()
    (content.get("n") or "").encode()
    (content.get("v") or {}).items()
    if content["a"] not in TESTS:
        return
    for name in "ekwcg":
        (content.get(name) or {}).items()
    for name in "kwc":
        for part in (content.get(name) or {}).values():
            (part or {}).items()
    for part in (content.get("c") or {}).values():
        (part.get("g") or {}).items()
        (part.get("v") or {}).items()
        (part.get("m") or "").encode()
    if "f" in content:
        given = content["f"]
        for name in NUMBERS:
            given[name].__index__()
        (given["values"] or 0).__index__()
        given["uid"].encode()
        for name in TEXTS:
            "".join(given[name])
        LEVELS.index(given.get("priority", LEVELS[0]))
        for name in SHOWN:
            for shown in given.get(name, ()):
                "".join(shown.values())


def alert(tenant: str, entry: EventRule | Correlation, passed: Passed) -> Alert:
    """What is said of a test that was passed."""
    time, uid, content, _ = passed
    shown = {name: text for name, text in (content.get("e") or {}).items() if text is not None}
    if isinstance(entry, Correlation):
        return _of_correlation(tenant, entry, content, shown)
    key = group_key(tenant, entry.rule.id, ())
    return findings.of_event(key, tenant, entry, (time, uid), shown, content.get("o") or "")


def _of_correlation(
    tenant: str, correlation: Correlation, content: Content, shown: Mapping[str, str]
) -> Alert:
    given: Mapping[str, Any] = content["f"]
    group = texts(placed(content.get("g")))
    return Alert(
        uid=given["uid"],
        tenant=tenant,
        rule=correlation.rule,
        kind=correlation.type,
        state="final",
        **{name: given[name] for name in NUMBERS},
        group=tuple(zip(correlation.group_by, group, strict=False)),
        uids=tuple(given["uids"]),
        values=given["values"],
        evidence=(shown,) if shown else (),
        condition=f"{correlation.type} {correlation.condition}",
        window_ms=correlation.timespan_ms,
        suppress_ms=correlation.suppress_ms,
        sources=tuple(given["sources"]),
        sudden=True,
        priority=given.get("priority"),
        counted=tuple(given.get("counted", ())),
        shown=tuple(given.get("shown", ())),
    )


def told(test: Step, entry: Entry) -> dict[str, str]:
    """What an alert says of the entry that was there."""
    said = {
        "list": test.list.name,
        "listed_since": f"{text_of(entry.since)[:-1]}+00:00",
        "listed_by": entry.by,
        "listed_uid": entry.uid,
    }
    return said | {f"listed_{name}": text for name, text in entry.values.items()}
