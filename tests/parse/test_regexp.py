"""Named groups: what a pattern finds, compared with RE2, and what is wrong with a pattern."""

from typing import Any

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, frame, one
from topology.parse import regexp

PATTERNS = [
    r"(?P<user>[a-c]+) (?P<n>[0-9]+)",
    r"^(?P<a>a*)(?:b(?P<b>b)?)?(x)?",
    r"(?i)(?P<word>ab|abc)(?P<rest>.*)$",
    r"(?s)(?P<first>.)\n?(?P<last>.)",
]


def _reference(pattern: str, text: str) -> dict[str, Any]:
    found = re2.search(pattern, text)
    if found is None:
        return {"error": regexp.NO_MATCH}
    return {
        "fields": {name: value for name, value in found.groupdict().items() if value is not None}
    }


@given(
    pattern=st.sampled_from(PATTERNS),
    texts=st.lists(st.text(alphabet="abcABx 12\n", max_size=10), min_size=1, max_size=8),
)
def test_groups_are_those_of_re2(pattern: str, texts: list[str]):
    """The same groups, and the same texts that do not match."""
    options = {"pattern": pattern}
    for text in texts:
        expected = _reference(pattern, text)
        seen = one(regexp.PARSER, text, options)
        assert expected == {name: seen[name] for name in expected}
    assert_same(regexp.PARSER, texts, options)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("(", "unclosed group"),
        ("(a)", "with named groups"),
        ("(?P<a>x)(?P<a>y)", "duplicate capture group name"),
        (r"(?P<a>x)\1", "backreferences are not supported"),
        ("(?P<a>x{1000}{1000}{1000})", "size limit"),
        ("(?P<a>x)", None),
    ],
)
def test_patterns(pattern: str, expected: str | None):
    """What is wrong is said at the start, not for each line."""
    problem = regexp.PARSER.options["pattern"].expected(pattern)
    assert problem is None if expected is None else expected in str(problem)


def test_time_is_linear():
    """A pattern and a text on which backtracking would never end."""
    texts = ["a" * 5_000 + "!"] * 20
    options = {"pattern": "(?P<x>(a*)*(a|aa)+$)"}
    parsed = regexp.PARSER.parse(frame(texts), options)
    assert parsed.failures.height == 20
