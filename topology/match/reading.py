"""Documents of YAML become rules of pySigma, whose errors get file, line and key."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sigma.correlations import SigmaCorrelationRule, SigmaRuleReference
from sigma.filters import SigmaFilter
from sigma.rule import SigmaDetection, SigmaRule

from topology.match.correlations import timespan_problems
from topology.match.documents import Document, Problem
from topology.match.extensions import SECTION
from topology.match.policy import POLICY
from topology.match.references import Parsed
from topology.match.specification import for_pysigma

CONDITION: Final = ("detection", "condition")
NO_SEARCHES: Final = {"detection": ("condition",), "filter": ("condition", "rules")}
"""Keys of a section that name no search."""


def parse(document: Document, problems: list[Problem]) -> list[Parsed]:
    """The document as a rule of pySigma, or its errors in `problems`."""
    content = document.content
    if "action" in content:
        text = "rule collections by `action` are not supported; write each rule out"
        problems.append(document.problem(text, "action"))
        return []
    kind, section = SigmaRule, "detection"
    if "correlation" in content:
        kind, section = SigmaCorrelationRule, "correlation"
    elif "filter" in content:
        kind, section = SigmaFilter, "filter"
    elif "detection" not in content and "logsource" not in content:
        text = "is no Sigma rule: expected detection, correlation or filter"
        problems.append(document.problem(text))
        return []
    located = list(_no_texts(document))
    try:
        rule = kind.from_dict(for_pysigma(content), collect_errors=True, policy=POLICY)
        errors: list[Exception] = list(rule.errors)
    except Exception as failure:
        errors = [] if located else [failure]
    if kind is SigmaCorrelationRule:
        problems += timespan_problems(document) if errors or located else []
    elif any(_of_items(error, section) for error in errors):
        located += _item_problems(document, section)
    problems += located
    for error in errors:
        if not (located and _of_items(error, section)):
            keys = _keys(error, section)
            problems.append(document.problem(message(error), *keys))
    if SECTION in content and kind is SigmaFilter:
        problems.append(document.problem("extensions are not for filters", SECTION))
    if errors or located:
        return []
    if kind is SigmaCorrelationRule and rule.rules is None:  # an extended condition names them
        rule.rules = [SigmaRuleReference(name) for name in rule.condition.get_referenced_rules()]
    return [Parsed(document, rule)]


def message(error: Exception) -> str:
    """What pySigma says, without where."""
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
TEXTS: Final = {
    "Sigma rule name": "name",
    "Sigma tag": "tags",
    "Sigma rule license": "license",
    "Sigma rule scope": "scope",
}
"""The same by what they say, for classes that say nothing."""


def _keys(error: Exception, section: str) -> tuple[str, ...]:
    name, text = type(error).__name__, message(error)
    found = [keys for prefix, keys in KEYS if name.startswith(prefix)]
    found += [(key,) for begin, key in TEXTS.items() if text.startswith(begin)]
    return found[0] if found else (section,)


def _of_items(error: Exception, section: str) -> bool:
    """Whether an error may be about what a search says."""
    return _keys(error, section) == (section,) and not type(error).__name__.startswith(
        "SigmaFilter"
    )


def _no_texts(document: Document) -> Iterator[Problem]:
    """What pySigma takes for a text without a look."""
    for keys, value in _said_texts(document.content):
        if not isinstance(value, str):
            text = f"saw {value!r}, expected text; put it in quotes if it is meant"
            yield document.problem(text, *keys)


def _said_texts(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values."""
    if content.get("id") is not None:
        yield ("id",), content["id"]
    for section, listing in (("correlation", ("rules", "group-by")), ("filter", ("rules",))):
        for key in listing:
            listed = _mapping(content.get(section)).get(key)
            for number, value in enumerate(listed if isinstance(listed, list) else ()):
                yield (section, key, str(number)), value
    correlation = _mapping(content.get("correlation"))
    if correlation.get("type") is not None:
        yield ("correlation", "type"), correlation["type"]
    for name, fields in _mapping(correlation.get("aliases")).items():
        for pair in _mapping(fields).items():
            yield from (
                (("correlation", "aliases", str(name), str(pair[0])), each) for each in pair
            )


def _mapping(said: Any) -> Mapping[Any, Any]:
    return said if isinstance(said, Mapping) else {}


def _item_problems(document: Document, section: str) -> Iterator[Problem]:
    """Every broken item of a detection or a filter, each tried on its own."""
    for name, entry in searches(document, section):
        for key, value in entry.items() if isinstance(entry, dict) else [("", entry)]:
            if not isinstance(key, str | None):
                text = f"saw the key {key!r}, expected text; put it in quotes if it is meant"
                yield document.problem(text, section, name, str(key))
                continue
            try:
                item = {key: value} if key else value
                SigmaDetection.from_definition(item, policy=POLICY)
            except Exception as error:
                keys = (section, name, str(key)) if key else (section, name)
                yield document.problem(message(error), *keys)


def searches(document: Document, section: str) -> Iterator[tuple[str, Any]]:
    """The named searches of a detection or a filter, those in lists each."""
    given: Any = document.content.get(section)
    if not isinstance(given, Mapping):
        return
    for name, definition in given.items():
        if name not in NO_SEARCHES[section]:
            for entry in definition if isinstance(definition, list) else [definition]:
                yield str(name), entry


def field_keys(document: Document, section: str, field: str) -> tuple[str, ...]:
    """Path of the first key that is about this field; none where there is no such key."""
    for name, entry in searches(document, section):
        for key in entry if isinstance(entry, dict) else ():
            if str(key).split("|")[0] == field or field in str(entry[key]):
                return (section, name, str(key))
    return ()
