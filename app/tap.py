"""What goes through a stage, worked out again from raw records; the workers know nothing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import orjson
import polars as pl
from confluent_kafka import Message

from app.runtime.batch import build
from topology.filters import NO_FILTERS, Filter, Filters
from topology.isolate import Failure, in_order, isolate, stage
from topology.northbound import SERIALIZERS
from topology.plan import Plan, SourcePlan
from topology.received import receive
from topology.records import Batch

Stage: TypeAlias = Literal["normalize", "mutate", "filter", "enrich", "match"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


def where(detection: Mapping[str, Any]) -> Filters:
    """Keeps events that have all of these, as in a search of a Sigma rule. Raises FilterErrors."""
    return Filters([Filter("where", keep=True, detection={"it": detection})])


class Tap:
    """One stage of a plan. `lines` gives what comes out of it for a batch of raw records."""

    def __init__(self, plan: Plan, name: Stage, chosen: Filters = NO_FILTERS) -> None:
        self._plan = plan
        self._stage = STAGES.index(name)
        self._chosen = chosen
        self._sources = {
            plan.names.raw(source.name): self._up_to(source) for source in plan.sources.values()
        }

    def _reaches(self, name: Stage) -> bool:
        return self._stage >= STAGES.index(name)

    def _up_to(self, source: SourcePlan) -> SourcePlan:
        """The source without the stages behind this one."""
        if not self._reaches("mutate"):
            return replace(source, mutations=(), filters=NO_FILTERS)
        return source if self._reaches("filter") else replace(source, filters=NO_FILTERS)

    def lines(self, messages: Sequence[Message]) -> list[bytes]:
        """Events as JSON, in the order of the records of each topic.

        What a stage up to this one breaks on is `{"error": {"stage", "reason"}, "metadata.uid"}`,
        unless only chosen events are wanted.
        """
        batches = build(messages, list(self._sources), coalesce=True)
        return [line for batch in batches for line in self._lines(batch)]

    def _lines(self, batch: Batch) -> list[bytes]:
        source = self._sources[batch.topic]
        received = receive(source, batch, self._plan.origins[batch.topic])
        parts, broken = isolate(received.events, lambda events: self._finish(source, events))
        lines = [line for part in parts for line in part]
        if not self._chosen:
            failures = in_order([*received.failures, *broken])
            lines += [_error(failure, received.uids) for failure in failures]
        return lines

    def _finish(self, source: SourcePlan, events: pl.DataFrame) -> list[bytes]:
        if self._reaches("enrich"):
            for enricher in self._plan.enrichers:
                with stage("enrich", enricher.name):
                    events = enricher.apply(events)
        if self._chosen:
            events, _ = self._chosen.apply(events)
        titles: list[list[str]] | None = None
        if self._reaches("match"):
            with stage("match", "rules"):
                events, titles = self._matched(source, events)
        if not events.height:
            return []
        with stage("encode", "ocsf-json"):
            texts = SERIALIZERS["ocsf-json"](events).to_list()
        if titles is None:
            return [text.replace(b"\n", b" ") for text in texts]
        return [
            orjson.dumps({"rules": rules, "event": orjson.Fragment(text.replace(b"\n", b" "))})
            for rules, text in zip(titles, texts, strict=True)
        ]

    def _matched(
        self, source: SourcePlan, events: pl.DataFrame
    ) -> tuple[pl.DataFrame, list[list[str]]]:
        """The events that some rule matches, and the titles of these rules."""
        rules = self._plan.rules
        titles: list[list[str]] = [[] for _ in range(events.height)]
        for index, rows in rules.match(events, source.logsource).items():
            for row in rows.tolist():
                titles[row].append(rules.rules.events[index].rule.title)
        matched = np.fromiter(map(bool, titles), dtype=np.bool_, count=len(titles))
        return events.filter(pl.Series(matched)), [found for found in titles if found]


def _error(failure: Failure, uids: pl.Series) -> bytes:
    error = {"stage": failure.stage, "reason": failure.reason}
    uid = uids[failure.row] + (f"-{failure.sub}" if failure.sub else "")
    return orjson.dumps({"error": error, "metadata.uid": uid})
