"""Real rules on real events: the engine and the event-by-event reference agree.

The data is not in the repository: NORTHBOUND_DATA names its folder (default: ../shared/data).
"""

import json
import lzma
import os
import random
import tarfile
from pathlib import Path

import pytest

from app.event_lines import frame
from tests.match import reference
from topology.match.compile import compile_rules
from topology.rules import LogSource

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("NORTHBOUND_DATA", ROOT.parent / "shared" / "data"))
RULES = DATA / "sigmahq_rules.tar.xz"
EVENTS = DATA / "process_creation_events.ndjson.xz"
PROCESS_CREATION = LogSource(product="windows", category="process_creation")

pytestmark = pytest.mark.skipif(
    not (RULES.exists() and EVENTS.exists()), reason=f"NORTHBOUND_DATA: no Sigma data in {DATA}"
)


@pytest.fixture(scope="module")
def texts():
    """Rules on Windows process creation, by file name."""
    with tarfile.open(RULES) as archive:
        files = [
            (member.name, archive.extractfile(member).read().decode())
            for member in archive
            if "windows/process_creation/" in member.name and member.name.endswith(".yml")
        ]
    assert len(files) > 1_000
    return files


@pytest.fixture(scope="module")
def rules(texts):
    return compile_rules(texts)


@pytest.fixture(scope="module")
def events():
    with lzma.open(EVENTS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_sample_equals_reference(texts, events, seed):
    """A random 60 rules on a random 150 events hit just what they should."""
    chosen = random.Random(seed)
    sample = chosen.sample(events, 150)
    picked = chosen.sample(texts, 60)
    rules = compile_rules(picked)
    hits = rules.match(frame(sample), PROCESS_CREATION)
    for index, (name, text) in enumerate(picked):
        (rule,) = reference.rules_of(text)
        wanted = [row for row, event in enumerate(sample) if reference.matches(rule, event)]
        found = hits[index].tolist() if index in hits else []
        assert wanted == found, name


def test_hitting_rules_equal_reference(texts, rules, events, seed):
    """Rules that hit something, most of which random events would miss, hit nothing else."""
    table = frame(events)
    hits = rules.match(table, PROCESS_CREATION)
    assert len(hits) > 150
    chosen = random.Random(seed)
    sample = chosen.sample(range(len(events)), 40)
    for index in chosen.sample(sorted(hits), 80):
        (rule,) = reference.rules_of(texts[index][1])
        rows = sorted({*sample, *hits[index][:15].tolist()})
        wanted = [row for row in rows if reference.matches(rule, events[row])]
        found = set(hits[index].tolist())
        assert wanted == [row for row in rows if row in found], texts[index][0]


def test_batches_change_nothing(rules, events):
    """One frame, or many small ones, give the same hits."""
    whole = {
        (index, row)
        for index, rows in rules.match(frame(events), PROCESS_CREATION).items()
        for row in rows.tolist()
    }
    cut = set()
    for start in range(0, len(events), 700):
        part = rules.match(frame(events[start : start + 700]), PROCESS_CREATION)
        cut |= {(index, start + row) for index, rows in part.items() for row in rows.tolist()}
    assert whole == cut
