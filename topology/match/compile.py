"""Sigma rules as text become a RuleSet; whatever is wrong with them is reported at once.

pySigma 2 parses and validates; our part is locating its errors, mapping fields to event columns,
and turning its condition trees into nodes over numbered atoms.
"""

from collections.abc import Mapping, Sequence

from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaDetection, SigmaLevel, SigmaRule, SigmaRuleBase

from topology.levels import Level
from topology.lists import ActiveList
from topology.match.correlations import compile_correlation, timespan_problems
from topology.match.documents import Document, Problem, RuleErrors, read_documents
from topology.match.extensions import SECTION
from topology.match.fieldmap import FieldMap, find_map, given, read_field_map
from topology.match.list_steps import ListSteps
from topology.match.members import Members
from topology.match.policy import POLICY
from topology.match.ranges import with_one
from topology.match.references import Parsed, in_order
from topology.match.ruleset import RuleSet
from topology.match.tree import Forest, Node, leaves
from topology.match.values import PlaceholderError, Placeholders, UnsupportedError, Walker
from topology.rules import EventRule, LogSource, Rule

__all__ = ["FieldMap", "RuleErrors", "RuleSet", "compile_rules", "read_field_map"]

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
    tenants: Mapping[str, str] | None = None,
    lists: Mapping[str, ActiveList] | None = None,
    *,
    more_lists: bool = False,
) -> RuleSet:
    """Compile (path, text) pairs of YAML with one or more rules each; `tenants`: path to the tenant
    whose rules are there and serve no other; `lists`: those that there are, None: not known;
    `more_lists`: rules may name others.

    Raises RuleErrors that lists every problem as `path:line: key: text`; then nothing is loaded.
    Rules that need a list of values which `placeholders` does not have are loaded and never match;
    `RuleSet.warnings` names them.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    parsed = [
        item
        for path, text in documents
        for document in read_documents(path, text, problems)
        for item in _parse(document, problems)
    ]
    owners = tenants or {}
    parsed = _filtered(parsed, owners)
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
        read = {forest.atoms[number].column for number in leaves(node)}
        compiled.append(EventRule(_metadata(item, owners), logsource, tuple(sorted(read))))
    steps = ListSteps(lists, field_maps, problems, more=more_lists)
    for item, entry in zip(events, compiled, strict=True):
        steps.of_event_rule(item.document, entry)
    members = Members([item.rule for item in events], compiled, field_maps)
    for item in in_order(correlations, problems):
        metadata = _metadata(item, owners)
        found = compile_correlation(item.document, item.rule, metadata, members, problems)
        if found is not None:
            members.add(found, item.rule.name, item.rule.id and str(item.rule.id))
            steps.of_correlation(item.document, found)
    rules = steps.silenced(members.finished())
    steps.check(rules)
    if problems:
        raise RuleErrors(problems)
    return RuleSet(rules, forest.atoms, nodes, [str(warning) for warning in warnings])


def _parse(document: Document, problems: list[Problem]) -> list[Parsed]:
    """The document as a rule of pySigma, or its errors in `problems`."""
    content = document.content
    if "action" in content:
        text = "rule collections by `action` are not supported; write each rule out"
        problems.append(document.problem(text, "action"))
        return []
    kind = SigmaRule
    if "correlation" in content:
        kind = SigmaCorrelationRule
    elif "filter" in content:
        kind = SigmaFilter
    elif "detection" not in content and "logsource" not in content:
        text = "is no Sigma rule: expected detection, correlation or filter"
        problems.append(document.problem(text))
        return []
    try:
        rule = kind.from_dict(with_one(content), collect_errors=True, policy=POLICY)
        errors: list[Exception] = list(rule.errors)
    except Exception as failure:
        errors = [failure]
    before = len(problems)
    if any("detection" in _keys(error, document) for error in errors):
        problems += _detection_problems(document)
    if kind is SigmaCorrelationRule and errors:
        problems += timespan_problems(document)
    located = len(problems) > before
    for error in errors:
        keys = _keys(error, document)
        if not (located and keys[:1] == ("detection",)):
            problems.append(document.problem(_message(error), *keys))
    if SECTION in content and kind is SigmaFilter:
        problems.append(document.problem("extensions are not for filters", SECTION))
    return [] if errors else [Parsed(document, rule)]


def _message(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


KEYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("SigmaTitle", ("title",)),
    ("SigmaIdentifier", ("id",)),
    ("SigmaName", ("name",)),
    ("SigmaLevel", ("level",)),
    ("SigmaStatus", ("status",)),
    ("SigmaDate", ("date",)),
    ("SigmaModified", ("modified",)),
    ("SigmaTag", ("tags",)),
    ("SigmaAuthor", ("author",)),
    ("SigmaDescription", ("description",)),
    ("SigmaReferences", ("references",)),
    ("SigmaRelated", ("related",)),
    ("SigmaFields", ("fields",)),
    ("SigmaFalsePositives", ("falsepositives",)),
    ("SigmaTaxonomy", ("taxonomy",)),
    ("SigmaLogsource", ("logsource",)),
    ("SigmaCorrelationType", ("correlation", "type")),
    ("SigmaTimespan", ("correlation", "timespan")),
    ("SigmaCorrelationCondition", ("correlation", "condition")),
    ("SigmaCorrelation", ("correlation",)),
    ("SigmaFilter", ("filter",)),
)
"""Where the errors of pySigma belong, by the beginning of their class names."""


def _keys(error: Exception, document: Document) -> tuple[str, ...]:
    name = type(error).__name__
    for prefix, keys in KEYS:
        if name.startswith(prefix):
            return keys
    for section in ("detection", "correlation", "filter"):
        if section in document.content:
            return (section,)
    return ()


def _detection_problems(document: Document) -> list[Problem]:
    """Every broken item of a detection section, each tried on its own."""
    section = document.content.get("detection")
    if not isinstance(section, dict):
        return []
    problems: list[Problem] = []
    for name, definition in section.items():
        if name == "condition":
            continue
        maps = definition if isinstance(definition, list) else [definition]
        for entry in maps:
            for key, value in entry.items() if isinstance(entry, dict) else [("", entry)]:
                try:
                    item = {key: value} if key else value
                    SigmaDetection.from_definition(item, policy=POLICY)
                except Exception as error:
                    problems.append(_at_item(document, name, str(key), _message(error)))
    return problems


def _at_item(document: Document, name: str, key: str, text: str) -> Problem:
    keys = ("detection", name, key) if key else ("detection", name)
    return document.problem(text, *keys)


def _filtered(parsed: list[Parsed], owners: Mapping[str, str]) -> list[Parsed]:
    """Rules after the Sigma filters among them were applied: those of a tenant to its own."""
    filters = [item for item in parsed if isinstance(item.rule, SigmaFilter)]
    rules = [item for item in parsed if not isinstance(item.rule, SigmaFilter)]
    if not filters:
        return rules
    out = []
    for item in rules:
        rule = item.rule
        for entry in filters:
            owner = owners.get(entry.document.path)
            if owner is None or owner == owners.get(item.document.path):
                rule = entry.rule.apply_on_rule(rule)
        out.append(Parsed(item.document, rule))
    return out


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
        document = item.document
        try:
            tree = condition.parsed
            if tree is None:
                raise UnsupportedError("the condition is empty")
            nodes.append(walker.node(tree))
        except PlaceholderError as error:
            text = f"{error}, which has no list of values: the rule never matches"
            warnings.append(document.problem(text, *_find_field(document, error.field)))
        except UnsupportedError as error:
            problems.append(document.problem(str(error), *_find_field(document, error.field)))
        except SigmaError as error:
            problems.append(document.problem(_message(error), *CONDITION))
        except Exception as error:
            text = f"cannot be parsed: {type(error).__name__}: {error}"
            problems.append(document.problem(text, *CONDITION))
    return walker.forest.any_of(nodes)


CONDITION = ("detection", "condition")


def _find_field(document: Document, field: str | None) -> tuple[str, ...]:
    """Path of the first key of the detection that is about this field, or of the condition."""
    if field is None:
        return CONDITION
    for name, definition in document.content["detection"].items():
        entries = definition if isinstance(definition, list) else [definition]
        for entry in entries:
            for key in entry if isinstance(entry, dict) else ():
                if str(key).split("|")[0] == field or field in str(entry[key]):
                    return ("detection", str(name), str(key))
    return CONDITION


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
