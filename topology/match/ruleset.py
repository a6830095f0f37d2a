"""Compiled rules and their evaluation: a frame of events in, for each rule its rows out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from topology.costs import costs
from topology.match.atoms import Atom, Regex, Text
from topology.match.automaton import Automaton, patterns
from topology.match.columns import KEYWORDS, View, unpack
from topology.match.required import required
from topology.match.tree import Evaluation, Node, gathered, leaves, ordered
from topology.rules import Hits, LogSource, Rules
from topology.unmapped import members, with_members

CROWDED = 8
"""With so many atoms a column gets an automaton; below that each is tested when it is needed."""
CROWDED_KEYWORDS = 4
STRETCH = 16_384
"""Rows that are evaluated at a time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rules for one log source need: rule index and tree, automata by column.

    `atoms`: those of the rule set, and more. `known`: no rows for each atom that an automaton
    finds, None for the others. `titles`: id and title of each rule by its index. `members`: columns
    that may be members of others (topology/unmapped.py).
    """

    atoms: tuple[Atom, ...]
    known: list[int | None]
    trees: tuple[tuple[int, Node], ...]
    automata: dict[str, Automaton]
    titles: dict[int, tuple[str, str]]
    members: tuple[str, ...] = ()


class RuleSet:
    """Rules with their conditions. Picklable; automata are built on first use.

    `nodes[i]` is the condition of `rules.events[i]` over `atoms`.
    """

    def __init__(
        self,
        rules: Rules,
        atoms: Sequence[Atom],
        nodes: Sequence[Node],
        warnings: Sequence[str] = (),
    ) -> None:
        self.rules = rules
        self.warnings = tuple(warnings)
        self._atoms = tuple(atoms)
        self._nodes = tuple(nodes)
        self._plans: dict[LogSource | None, Plan] = {}

    def __reduce__(self) -> tuple[type["RuleSet"], tuple[object, ...]]:
        return RuleSet, (self.rules, self._atoms, self._nodes, self.warnings)

    def condition(self, index: int) -> object:
        """The condition of `rules.events[index]` with atoms in place of their numbers, so that
        those of two sets can be compared."""

        def spelled(node: Node) -> object:
            if isinstance(node, int):
                return self._atoms[node]
            return (node[0], *map(spelled, node[1:]))

        return spelled(self._nodes[index])

    def columns(self, logsource: LogSource | None) -> frozenset[str]:
        """The event columns that the rules for a log source read."""
        indexes = self._indexes(logsource)
        return frozenset(name for index in indexes for name in self.rules.events[index].columns)

    def match(
        self, events: pl.DataFrame, logsource: LogSource | None, stage: str = "match"
    ) -> Hits:
        """Evaluate the rules that cover `logsource`, or all of them for None, on every row.

        A column that a rule reads and the frame does not have is a field without a value. What it
        costs is that of `stage`.
        """
        if logsource not in self._plans:
            self._plans[logsource] = self._plan(logsource)
        plan = self._plans[logsource]
        if not plan.trees or not events.height:
            return {}
        if plan.members:
            events = with_members(events, plan.members)
        if events.height <= STRETCH:
            return self._match(events, plan, stage)
        found: dict[int, list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = {}
        for start in range(0, events.height, STRETCH):
            for index, rows in self._match(events[start : start + STRETCH], plan, stage).items():
                found.setdefault(index, []).append(rows + start)
        return {index: np.concatenate(found[index]) for index in sorted(found)}

    def _match(self, events: pl.DataFrame, plan: Plan, stage: str) -> Hits:
        view = View(events)
        known = plan.known.copy()
        true: set[int] = set()
        books = costs()
        with books.stage(stage, "automata"):
            for name, automaton in plan.automata.items():
                column = view.column(name)
                if column is not None:
                    automaton.scan(column, known, true)
        evaluation = Evaluation(view, plan.atoms, known, true)
        hits: Hits = {}
        with books.rule_pass(stage, "conditions", len(plan.trees)) as worked:
            for index, node in plan.trees:
                rows = evaluation.of(node, view.everything)
                if rows:
                    hits[index] = unpack(rows, view.height)
                if worked is not None:
                    worked(plan.titles[index])
        return hits

    def _indexes(self, logsource: LogSource | None) -> list[int]:
        return [
            index
            for index, rule in enumerate(self.rules.events)
            if logsource is None or rule.logsource.covers(logsource)
        ]

    def _plan(self, logsource: LogSource | None) -> Plan:
        indexes = self._indexes(logsource)
        texts: dict[str, dict[int, Atom]] = {}
        for number in sorted(set().union(*(leaves(self._nodes[index]) for index in indexes))):
            atom = self._atoms[number]
            if patterns(atom):
                texts.setdefault(atom.column, {})[number] = atom
        limits = {KEYWORDS: CROWDED_KEYWORDS}
        crowded = {
            name: atoms for name, atoms in texts.items() if len(atoms) >= limits.get(name, CROWDED)
        }
        narrow = _Narrowing(self._atoms, crowded)
        nodes = [(index, narrow.node(self._nodes[index])) for index in indexes]
        resident = {number for atoms in crowded.values() for number in atoms}

        def cost(number: int) -> float:
            return 0.0 if number in resident else narrow.atoms[number].cost

        trees = [(index, gathered(ordered(node, cost)[1], resident)) for index, node in nodes]
        rules = [(index, self.rules.events[index].rule) for index in indexes]
        return Plan(
            tuple(narrow.atoms),
            [0 if number in resident else None for number in range(len(narrow.atoms))],
            tuple(trees),
            {name: Automaton(atoms) for name, atoms in crowded.items()},
            {index: (rule.id, rule.title) for index, rule in rules},
            members(self.columns(logsource)),
        )


class _Narrowing:
    """Puts before each regular expression the texts that it needs, where an automaton finds them.

    `atoms` are those of the rule set and those texts; `crowded`, by column, gets the latter, too.
    """

    def __init__(self, atoms: Sequence[Atom], crowded: dict[str, dict[int, Atom]]) -> None:
        self.atoms = list(atoms)
        self._crowded = crowded
        self._numbers = {
            atom: number for entries in crowded.values() for number, atom in entries.items()
        }

    def node(self, node: Node) -> Node:
        """The node with all regular expressions below it narrowed down."""
        if not isinstance(node, int):
            return (node[0], *map(self.node, node[1:]))
        atom = self.atoms[node]
        # The walker has narrowed down those for wildcards (topology/match/values.py).
        if not isinstance(atom, Regex) or atom.whole or atom.column not in self._crowded:
            return node
        texts = [Text(atom.column, "contains", text) for text in sorted(required(atom.pattern))]
        if not texts or not all(map(patterns, texts)):
            return node
        return ("and", ("or", *map(self._number, texts)), node)

    def _number(self, text: Text) -> int:
        number = self._numbers.setdefault(text, len(self.atoms))
        if number == len(self.atoms):
            self.atoms.append(text)
            self._crowded[text.column][number] = text
        return number
