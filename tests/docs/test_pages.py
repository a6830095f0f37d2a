"""What pages name is there: links, files, commands with their options, targets, metrics."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from app.changes_metric import ChangesCollector
from app.cli import app
from app.deliver.metrics import DeliveryCollector
from app.ingest.metrics import LedgerCollector
from app.lookup_thread import LookupCollector
from app.runtime.statistics import EngineCollector, EngineStatistics
from bench.__main__ import CASES
from chaos.experiments import EXPERIMENTS
from tests.docs.pages import PAGES, ROOT, anchors, code, links, name, prose

CALL = re.compile(
    r"(?:^|[\s|(])(?:\.venv/bin/|\.\./)?northbound ([a-z][^|&;#]*(?:\|[a-z][^|&;#]*)*)"
)
FILE = re.compile(
    r"(?<![\w./-])(?:app|bench|chaos|docs|examples|normalizers|requirements|rules|schemas|tests|"
    r"topology)/[\w./-]*\w\.(?:avsc|cfg|csv|lock|md|py|ya?ml)\b"
)
STAND_IN = re.compile(r"/[A-Z]+\b")
"""A name in capitals is one of the reader's."""
METRIC = re.compile(r"\bnorthbound_[a-z]+_[a-z_]+")
NO_METRICS = {"northbound_ca_file"}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, by the words that call it."""
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for each in command.list_commands(None):
        yield from leaves(command.get_command(None, each), (*path, each))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def misused(call: str) -> list[str]:
    """What is wrong with a call, without `northbound`, as pages write it: with `a|b` for either."""
    words = call.split()
    first = words[0].rstrip(",.:")
    ways = [path for path in COMMANDS if path[0] == first]
    if not ways:
        return [f"northbound {call}: there is no {first}"]
    rest = words[1:]
    if len(ways[0]) > 1:
        subs = re.split(r"[|]", words[1].rstrip(",.:")) if rest else []
        if not subs or subs[0].startswith(("-", "[")):
            return []  # the group is meant
        if unknown := [each for each in subs if (first, each) not in COMMANDS]:
            return [f"northbound {call}: there is no {first} {each}" for each in unknown]
        ways, rest = [(first, each) for each in subs], words[2:]
    given = {each.strip("[]`,.:").partition("=")[0] for each in rest if re.match(r"\[?--?\w", each)}
    wrong = []
    for way in ways:
        known = {opt for each in COMMANDS[way].params for opt in (*each.opts, *each.secondary_opts)}
        missing = given - known - {"--help"}
        wrong += [f"northbound {call}: {' '.join(way)} has no {each}" for each in missing]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """To files that are there, and to headings that they have."""
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_there(page: Path) -> None:
    """With their options; so are targets of make, their cases, and modules."""
    wrong = []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    cases = {*CASES, *EXPERIMENTS, "name"}
    for text in code(page):
        for call in CALL.findall(text):
            wrong += misused(call)
        for target in re.findall(r"(?:^|\s)make ([a-z]+)\b", text):
            wrong += [] if target in targets else [f"make {target}"]
        for case in re.findall(r"\bCASE=([\w-]+)", text):
            wrong += [] if case in cases else [f"CASE={case}"]
        for module in re.findall(r"\bpython3? -m ([\w.]+)", text):
            wrong += [] if importlib.util.find_spec(module) else [f"python -m {module}"]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_are_there(page: Path) -> None:
    """Those of the repository that a page names."""
    named = (each for each in FILE.findall(prose(page)) if not STAND_IN.search(each))
    assert [each for each in named if not (ROOT / each).exists()] == []


def shown() -> set[str]:
    """Every metric of every process."""
    engine = EngineCollector([EngineStatistics("events", "group")])
    ingest = LedgerCollector(list, int, dict)
    others = (LookupCollector([]), ChangesCollector(list), DeliveryCollector([]))
    families = [family for each in (engine, ingest, *others) for family in each.collect()]
    return {f"{each.name}_total" if each.type == "counter" else each.name for each in families}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_metrics_are_there(page: Path) -> None:
    """By the names that /metrics prints."""
    assert set(METRIC.findall(prose(page))) - shown() - NO_METRICS == set()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_is_right(path: tuple[str, ...]) -> None:
    """README.md promises it: one that calls this command, with options that it has."""
    command = COMMANDS[path]
    (example,) = re.findall(r"Example: northbound (.+)", command.help)
    assert misused(example) == []
    assert tuple(example.split()[: len(path)]) == path
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert (shown.exit_code, "Example:" in shown.stdout) == (0, True)
