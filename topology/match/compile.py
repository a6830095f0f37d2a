"""Sigma rules as text become a RuleSet; whatever is wrong with them is reported at once.

pySigma 2 parses and validates; our part is locating its errors, mapping fields to event columns,
and turning its condition trees into nodes over numbered atoms.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaLevel, SigmaRule, SigmaRuleBase

from topology.levels import Level
from topology.lists import ActiveList
from topology.match.bases import Elsewhere, bases
from topology.match.correlations import compile_correlation
from topology.match.documents import Document, Problem, RuleErrors, read_documents
from topology.match.fieldmap import FieldMap, find_map, given, read_field_map
from topology.match.list_steps import ListSteps
from topology.match.members import Members
from topology.match.reading import CONDITION, field_keys, message, parse
from topology.match.references import Parsed, in_order
from topology.match.ruleset import RuleSet
from topology.match.shown import shown_fields
from topology.match.sigma_filters import filtered
from topology.match.tree import Forest, Node, leaves
from topology.match.values import PlaceholderError, Placeholders, UnsupportedError, Walker
from topology.rules import EventRule, LogSource, Rule

__all__ = ["FieldMap", "RuleErrors", "RuleSet", "compile_rules", "read_field_map"]

Validate: TypeAlias = Callable[[Sequence[Parsed]], Iterable[Problem]]
"""Looks at rules as pySigma read them."""

LEVELS: dict[SigmaLevel | None, Level] = {
    None: "medium",
    SigmaLevel.INFORMATIONAL: "informational",
    SigmaLevel.LOW: "low",
    SigmaLevel.MEDIUM: "medium",
    SigmaLevel.HIGH: "high",
    SigmaLevel.CRITICAL: "critical",
}


def compile_rules(
    documents: Sequence[tuple[str, str]],
    field_maps: Sequence[FieldMap] = (),
    placeholders: Placeholders | None = None,
    lists: Mapping[str, ActiveList] | None = None,
) -> RuleSet:
    """Compile (path, text) pairs of YAML with one or more rules each, for whoever receives their
    events.

    Raises RuleErrors that lists every problem as `path:line: key: text`; then nothing is loaded.
    What the arguments are: `compilation`.
    """
    return compilation(documents, field_maps, placeholders, lists).whole()


class Compilation(NamedTuple):
    """Rules of which some may not load; with `problems`, `rules` are those that do, to look at.

    `documents`: all that were read, those of filters too; `bases`: those out of elsewhere. `notes`:
    what `validate` said. `field_maps`, `placeholders`: what all were compiled with.
    """

    rules: RuleSet
    problems: list[Problem]
    documents: list[Document]
    notes: list[Problem]
    bases: list[Document]
    field_maps: Sequence[FieldMap]
    placeholders: Placeholders

    def whole(self) -> RuleSet:
        """The rules, of which all have to load. Raises RuleErrors that lists every problem."""
        if self.problems:
            raise RuleErrors(self.problems)
        return self.rules


def compilation(
    documents: Sequence[tuple[str, str]],
    field_maps: Sequence[FieldMap] = (),
    placeholders: Placeholders | None = None,
    lists: Mapping[str, ActiveList] | None = None,
    *,
    more_lists: bool = False,
    tenants: Mapping[str, str] | None = None,
    validate: Validate | None = None,
    elsewhere: Callable[[], Elsewhere] | None = None,
) -> Compilation:
    """Compile (path, text) pairs of YAML with one or more rules each, of which some may not load.

    Rules that need a list of values which `placeholders` does not have are loaded and never match;
    `RuleSet.warnings` names them. `lists`: those that there are, None: not known; `more_lists`:
    rules may name others. `tenants`: path to the tenant whose rules are there and serve no other.
    `validate` looks at all that could be parsed. `elsewhere`: rules that correlations may refer to
    beside these; asked for if one does. `RuleSet.warnings` leaves theirs out.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    read = [each for path, text in documents for each in read_documents(path, text, problems)]
    parsed = [item for document in read for item in parse(document, problems)]
    notes = [] if validate is None else list(validate(parsed))  # before filters change them
    owners = tenants or {}
    based = bases(parsed, elsewhere, problems)
    field_maps = (*field_maps, *based.field_maps)
    placeholders = {**based.placeholders, **(placeholders or {})}
    foreign = [item.document for item in based.parsed]

    def told(document: Document) -> list[Problem]:
        return [] if document in foreign else warnings

    parsed = filtered([*parsed, *based.parsed], owners, problems, warnings)
    events = [item for item in parsed if isinstance(item.rule, SigmaRule)]
    correlations = [item for item in parsed if isinstance(item.rule, SigmaCorrelationRule)]
    _check_identity(parsed, problems)
    forest = Forest()
    compiled: list[EventRule] = []
    nodes: list[Node] = []
    for item in events:
        logsource = _logsource(item.rule)
        fields = find_map(field_maps, logsource)
        columns = fields.columns if fields else given
        node = _condition(item, Walker(forest, columns, placeholders), problems, warnings)
        nodes.append(node)
        needed = {name for number in leaves(node) for name in forest.atoms[number].reads}
        compiled.append(
            EventRule(
                _metadata(item, owners),
                logsource,
                tuple(sorted(needed)),
                shown=shown_fields(item.document, item.rule.fields, columns, told(item.document)),
            )
        )
    steps = ListSteps(lists, field_maps, problems, more=more_lists)
    for item, entry in zip(events, compiled, strict=True):
        steps.of_event_rule(item.document, entry)
    members = Members([item.rule for item in events], compiled, field_maps)
    for item in in_order(correlations, problems):
        metadata = _metadata(item, owners)
        found = compile_correlation(
            item.document, item.rule, metadata, members, problems, told(item.document)
        )
        if found is not None:
            members.add(found, item.rule.name, item.rule.id and str(item.rule.id))
            steps.of_correlation(item.document, found)
    rules = steps.silenced(members.finished())
    steps.check(rules)
    made = RuleSet(rules, forest.atoms, nodes, [str(warning) for warning in warnings])
    return Compilation(made, problems, read, notes, foreign, field_maps, placeholders)


def _check_identity(parsed: Sequence[Parsed], problems: list[Problem]) -> None:
    seen: dict[tuple[str, str], Document] = {}
    for item in parsed:
        for key, value in (("id", item.rule.id), ("name", item.rule.name)):
            if value is None:
                continue
            first = seen.setdefault((key, str(value)), item.document)
            if first is not item.document:
                text = f"{value} is taken by {first.path}:{first.line}"
                problems.append(item.document.problem(text, key))
    names = {name: document for (_, name), document in seen.items()}
    for item in parsed:
        if item.rule.id is not None or item.rule.name is not None:
            continue
        title = str(item.rule.title)
        first = names.setdefault(title, item.document)
        if first is not item.document:
            text = f"{title!r} is that of {first.path}:{first.line} too; give one an id or a name"
            problems.append(item.document.problem(text, "title"))


def _condition(
    item: Parsed, walker: Walker, problems: list[Problem], warnings: list[Problem]
) -> Node:
    """The condition as a node; several conditions are alternatives."""
    nodes = []
    for condition in item.rule.detection.parsed_condition:
        try:
            tree = condition.parsed
            if tree is None:
                raise UnsupportedError("the condition is empty")
            nodes.append(walker.node(tree))
        except PlaceholderError as error:
            text = f"{error}, which has no list of values: the rule never matches"
            warnings.append(_at_field(item, error.field, text))
        except UnsupportedError as error:
            problems.append(_at_field(item, error.field, str(error)))
        except SigmaError as error:
            problems.append(item.document.problem(message(error), *CONDITION))
        except Exception as error:
            text = f"cannot be parsed: {type(error).__name__}: {error}"
            problems.append(item.document.problem(text, *CONDITION))
    return walker.forest.any_of(nodes)


def _at_field(item: Parsed, field: str | None, text: str) -> Problem:
    """A problem at the first key that is about a field, in the rule or in a filter that it has."""
    places = [(item.document, "detection"), *((each, "filter") for each in item.filters)]
    for document, section in places if field is not None else ():
        if keys := field_keys(document, section, str(field)):
            return document.problem(text, *keys)
    return item.document.problem(text, *CONDITION)


def _logsource(rule: SigmaRule) -> LogSource:
    source = rule.logsource
    return LogSource(source.product, source.service, source.category)


def _metadata(item: Parsed, owners: Mapping[str, str]) -> Rule:
    rule: SigmaRuleBase = item.rule
    return Rule(
        id=str(rule.id or rule.name or rule.title),
        title=rule.title,
        level=LEVELS[rule.level],
        name=rule.name,
        status=rule.status.name.lower() if rule.status else None,
        author=rule.author,
        license=rule.license,
        description=rule.description,
        references=tuple(str(reference) for reference in rule.references),
        falsepositives=tuple(str(entry) for entry in rule.falsepositives),
        tags=tuple(f"{tag.namespace}.{tag.name}" for tag in rule.tags),
        path=item.document.path,
        line=item.document.line,
        tenant=owners.get(item.document.path),
    )
