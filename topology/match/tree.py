"""Conditions of rules as trees over numbered atoms, and their evaluation on one batch of events.

A node is an atom's number or a tuple: ("and", node, ...), ("or", node, ...), ("not", node). An
empty "and" is true and an empty "or" false. Atoms without a hit are the empty set, so that most
trees fold to nothing after a few look-ups; costly atoms see only rows that are still undecided.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

from topology.match.atoms import Atom, OneOf, Text
from topology.match.columns import View

Node: TypeAlias = int | tuple[Any, ...]
TRUE: Node = ("and",)
FALSE: Node = ("or",)
FEWEST = 2
"""From so many resident atoms on they are looked up together."""


class Forest:
    """The atoms of all rules, each once, and the way to make nodes of them."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self._numbers: dict[Atom, int] = {}

    def leaf(self, atom: Atom) -> Node:
        """The node of an atom."""
        number = self._numbers.setdefault(atom, len(self.atoms))
        if number == len(self.atoms):
            self.atoms.append(atom)
        return number

    def all_of(self, nodes: Iterable[Node]) -> Node:
        """Conjunction."""
        return _joined("and", nodes, FALSE)

    def any_of(self, nodes: Iterable[Node]) -> Node:
        """Disjunction; texts that one column may equal become one atom."""
        node = _joined("or", nodes, TRUE)
        if isinstance(node, int) or node[0] != "or":
            return node
        equal: dict[str, set[str]] = {}
        rest: list[Node] = []
        for child in node[1:]:
            atom = self.atoms[child] if isinstance(child, int) else None
            if isinstance(atom, Text) and atom.how == "equals" and not atom.cased:
                equal.setdefault(atom.column, set()).add(atom.text)
            elif isinstance(atom, OneOf):
                equal.setdefault(atom.column, set()).update(atom.texts)
            else:
                rest.append(child)
        for column, texts in equal.items():
            one = len(texts) == 1
            atom = Text(column, "equals", min(texts)) if one else OneOf(column, frozenset(texts))
            rest.append(self.leaf(atom))
        return _joined("or", rest, TRUE)

    def negate(self, node: Node) -> Node:
        """Negation."""
        if node == TRUE:
            return FALSE
        if node == FALSE:
            return TRUE
        return node[1] if isinstance(node, tuple) and node[0] == "not" else ("not", node)


def _joined(kind: str, nodes: Iterable[Node], absorbing: Node) -> Node:
    """Flatten, drop repetitions and neutral nodes."""
    children: dict[Node, None] = {}
    for node in nodes:
        inner = node[1:] if isinstance(node, tuple) and node[0] == kind else (node,)
        children.update(dict.fromkeys(inner))
    if absorbing in children:
        return absorbing
    return next(iter(children)) if len(children) == 1 else (kind, *children)


def leaves(node: Node) -> set[int]:
    """Numbers of the atoms below a node."""
    if isinstance(node, int):
        return {node}
    found: set[int] = set()
    for child in node[1:]:
        found |= leaves(child)
    return found


def ordered(node: Node, cost: Callable[[int], float]) -> tuple[float, Node]:
    """The node's cost, and the node with cheap children first."""
    if isinstance(node, int):
        return cost(node), node
    children = sorted((ordered(child, cost) for child in node[1:]), key=lambda pair: pair[0])
    total = children[-1][0] if children else 0.0
    if node[0] == "not":
        total += 0.5
    return total, (node[0], *(child for _, child in children))


def gathered(node: Node, resident: Container[int]) -> Node:
    """The node with the resident atoms among its children, whose truth is known before it is asked
    for, as a set of their own: ("all", set, the others) and ("any", set, the others)."""
    if isinstance(node, int):
        return node
    children = [gathered(child, resident) for child in node[1:]]
    members = frozenset(child for child in children if isinstance(child, int) and child in resident)
    if node[0] == "not" or len(members) < FEWEST:
        return (node[0], *children)
    others = [child for child in children if child not in members]
    return ("all" if node[0] == "and" else "any", members, *others)


class Evaluation:
    """Truth of nodes for the rows of one batch.

    `known` has for each atom the rows where it holds, or None if it was not tested yet; `true` are
    the atoms of which that is known before, and which hold somewhere.
    """

    def __init__(
        self, view: View, atoms: Sequence[Atom], known: list[int | None], true: AbstractSet[int]
    ) -> None:
        self._view = view
        self._atoms = atoms
        self._known = known
        self._true = true
        self._tested: dict[int, tuple[int, int]] = {}

    def of(self, node: Node, alive: int) -> int:
        """The rows among `alive` for which the node is true."""
        if isinstance(node, int):
            found = self._known[node]
            return self._test(node, alive) if found is None else found & alive
        kind = node[0]
        if kind == "and":
            return self._every(node[1:], alive)
        if kind == "or":
            return self._some(node[1:], alive)
        if kind == "not":
            return alive & ~self.of(node[1], alive)
        known, members = self._known, node[1]
        if kind == "all":
            if not members <= self._true:
                return 0
            for number in members:
                alive &= known[number] or 0
            return self._every(node[2:], alive) if alive else 0
        true = 0
        for number in members & self._true:
            true |= known[number] or 0
        true &= alive
        alive &= ~true
        return true | self._some(node[2:], alive) if alive else true

    def _every(self, nodes: Iterable[Node], alive: int) -> int:
        for child in nodes:
            alive = self.of(child, alive)
            if not alive:
                break
        return alive

    def _some(self, nodes: Iterable[Node], alive: int) -> int:
        known = self._known
        true = 0
        for child in nodes:
            if isinstance(child, int):
                found = known[child]
                if found == 0:
                    continue
                found = self._test(child, alive) if found is None else found & alive
            else:
                found = self.of(child, alive)
            if found:
                true |= found
                alive &= ~found
                if not alive:
                    break
        return true

    def _test(self, number: int, alive: int) -> int:
        atom = self._atoms[number]
        view = self._view
        column = view.column(atom.column)
        if column is None or column.whole or atom.cost == 0 or alive == view.everything:
            found = atom.rows(view, view.everything)
            self._known[number] = found
            return found & alive
        tested, true = self._tested.get(number, (0, 0))
        missing = alive & ~tested
        if missing:
            true |= atom.rows(view, missing) & missing
            self._tested[number] = (tested | missing, true)
        return true & alive
