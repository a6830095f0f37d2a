"""What stands in rules by mistake is told with its line; it stops no command, and no start."""

import pytest

from topology.match.compile import RuleErrors, compile_rules

RULE = """\
title: Base
id: 11111111-1111-4111-8111-111111111111
name: base
logsource: {product: test}
detection:
  sel: {a: x}
  condition: sel
---
title: Many
correlation:
  type: event_count
  rules:
    - base
  group-by:
    - user
  aliases:
    user: {base: who}
  timespan: 1m
  condition: {gte: 2}
---
title: Not those
logsource: {product: test}
filter:
  rules:
    - base
  sel: {a: y}
  condition: not sel
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("id: 1111", "id: 5 #", "r.yml:2: id: saw 5, expected text"),
        ("name: base", "name: 5", "r.yml:3: name: Sigma rule name must be a string"),
        ("detection:", "tags: [t1059]\ndetection:", "r.yml:5: tags: Sigma tag must start with"),
        ("{a: x}", "{5: x}", "r.yml:6: detection.sel.5: saw the key 5, expected text"),
        ("event_count", "5", "r.yml:11: correlation.type: saw 5, expected text"),
        (
            "rules:\n    - base\n  group",
            "rules: [5]\n  group",
            "r.yml:12: correlation.rules.0: saw",
        ),
        ("- base\n  group", "-\n  group", "r.yml:13: correlation.rules.0: saw None"),
        ("- user", "- 5", "r.yml:15: correlation.group-by.0: saw 5, expected text"),
        ("who}", "[who]}", "r.yml:17: correlation.aliases.user.base: saw ['who'], expected text"),
        ("{base: who}", "{5: who}", "r.yml:17: correlation.aliases.user.5: saw 5, expected text"),
        ("- base\n  sel", "- 5\n  sel", "r.yml:25: filter.rules.0: saw 5, expected text"),
        ("- base\n  group", "- bass\n  group", "r.yml:13: correlation.rules: 'bass' is neither"),
    ],
)
def test_what_is_no_text(old: str, new: str, told: str) -> None:
    """YAML makes numbers, nothing and lists of what is not in quotes."""
    compile_rules([("r.yml", RULE)])
    with pytest.raises(RuleErrors) as error:
        compile_rules([("r.yml", RULE.replace(old, new, 1))])
    assert any(each.startswith(told) for each in error.value.problems), error.value.problems


def test_what_is_no_yaml_at_all() -> None:
    """A byte that no text has, behind the first rule, too."""
    for text, line in ((f"\0{RULE}", 1), (f"{RULE}\0", 28)):
        with pytest.raises(RuleErrors, match=rf"r\.yml:{line}: is not YAML"):
            compile_rules([("r.yml", text)])
