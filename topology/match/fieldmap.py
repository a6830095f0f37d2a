"""Field maps: what a product's rules call a field → the event columns that hold it.

```yaml
product: qumulo
service: audit        # optional
fields:
  operation: api.operation
  user: ["@user", actor.user.name]   # any of them
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topology.match.documents import Document, Problem, RuleErrors, read_documents
from topology.match.values import UnsupportedError
from topology.rules import LogSource


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The field map of one log source. A field of its rules that it does not name is a mistake."""

    logsource: LogSource
    fields: Mapping[str, tuple[str, ...]]

    def columns(self, field: str) -> tuple[str, ...]:
        """The columns of a field; a column's own name is accepted too."""
        found = self.fields.get(field)
        if found is not None:
            return found
        if any(field in columns for columns in self.fields.values()):
            return (field,)
        known = ", ".join(sorted(self.fields))
        raise UnsupportedError(f"field {field!r} is not in the field map; known: {known}", field)


def given(field: str) -> tuple[str, ...]:
    """The columns of a field where there is no map: the name itself."""
    return (field,)


def find_map(field_maps: Sequence[FieldMap], logsource: LogSource) -> FieldMap | None:
    """The map for a rule's log source, the most specific first."""
    fitting = [fields for fields in field_maps if fields.logsource.covers(logsource)]
    return max(fitting, key=lambda fields: fields.logsource.named, default=None)


def read_field_map(path: str, text: str) -> FieldMap:
    """A field map from YAML. Raises RuleErrors with everything that is wrong with it."""
    problems: list[Problem] = []
    documents = list(read_documents(path, text, problems))
    if len(documents) != 1:
        problems.append(Problem(path, 1, "", f"saw {len(documents)} field maps, expected one"))
        raise RuleErrors(problems)
    found = _read(documents[0], problems)
    if problems:
        raise RuleErrors(problems)
    return found


def _read(document: Document, problems: list[Problem]) -> FieldMap:
    content: dict[str, Any] = document.content
    names = ("product", "service", "category")
    problems += [
        document.problem("unknown key; expected product, service, category, fields", key)
        for key in content
        if key not in (*names, "fields")
    ]
    problems += [
        document.problem(f"saw {content[key]!r}, expected text", key)
        for key in names
        if not isinstance(content.get(key, ""), str)
    ]
    fields: dict[str, tuple[str, ...]] = {}
    entries = content.get("fields")
    if not isinstance(entries, dict) or not entries:
        problems.append(document.problem("expected a mapping of field names to columns", "fields"))
        entries = {}
    for field, columns in entries.items():
        listed = columns if isinstance(columns, list) else [columns]
        if listed and all(isinstance(column, str) and column for column in listed):
            fields[str(field)] = tuple(listed)
        else:
            text = f"saw {columns!r}, expected the name of a column or a list of them"
            problems.append(document.problem(text, "fields", str(field)))
    logsource = LogSource(*(content.get(key) for key in names))
    return FieldMap(logsource, fields)
