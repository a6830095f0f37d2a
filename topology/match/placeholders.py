"""Values for the placeholders of rules (Sigma's modifier `expand`).

```yaml
admins: [root, "adm-*"]     # User|expand: '%admins%' holds for any of them
known_cdcs: dc1.example.com
canaries: []                 # nothing yet: holds for no event
```
"""

from topology.match.documents import Problem, RuleErrors, read_documents
from topology.match.values import Placeholders

__all__ = ["Placeholders", "read_placeholders"]


def read_placeholders(path: str, text: str) -> Placeholders:
    """Lists of values by name. Raises RuleErrors with everything that is wrong with them."""
    problems: list[Problem] = []
    found: dict[str, tuple[str, ...]] = {}
    for document in read_documents(path, text, problems):
        for name, given in document.content.items():
            values = given if isinstance(given, list) else [given]
            wrong = [
                each for each in values if isinstance(each, bool) or not isinstance(each, str | int)
            ]
            if wrong:
                problem = f"saw {wrong[0]!r}, expected a text or a list of texts"
                problems.append(document.problem(problem, str(name)))
            else:
                found[str(name)] = tuple(map(str, values))
    if problems:
        raise RuleErrors(problems)
    return found
