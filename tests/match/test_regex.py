"""Patterns that Polars evaluates mean to it what they mean to RE2."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topology.match.regex import compiled, polars_pattern

PIECES = st.sampled_from(
    [
        *("a", "k", "S", "-", "\\.", "\\\\", "\\d", "\\w", "\\W", "\\s", "\\D", "\\b", "\\B"),
        *("[a-k]", "[^a\\d]", "[\\w&]", "[a&&b]", "[[a]", "[]a]", "[\\]&&a]", "[a--k]", "(?i)"),
        *("^", "$", "|", "(?:a|k)", "(?i:k)", "(s)", "{,2}", "{2}", "?", "*", "+", ".", "\\<", "é"),
        *(
            "(?s)",
            "(?m)",
            "\\n",
            "\\x41",
            "\\pL",
            "(?P<n>a)",
            "\\Qa.\\E",
            "\\_",
            "\\ ",
            "&&",
            "\\z",
        ),
    ]
)
TEXT = st.text(alphabet="akKsS\u017f\u212aé&[]\\ .<-\n19_{,2}", max_size=5)


@settings(max_examples=800)
@given(st.lists(PIECES, min_size=1, max_size=5).map("".join), st.lists(TEXT, max_size=6))
def test_means_the_same(pattern, texts):
    """Whatever is translated finds the same; whatever RE2 refuses is no rule's."""
    try:
        regex = compiled(pattern)
    except Exception:
        return
    translated = polars_pattern(pattern)
    if translated is not None:
        found = pl.Series(texts, dtype=pl.String).str.contains(translated).to_list()
        assert [regex.search(text) is not None for text in texts] == found


@pytest.mark.parametrize(
    "pattern", ["arp\\s+-a", "(?i)set.*&&", "[a-z]{3,6}\\d+", "\\$env:x\\[", "(?s).*\\.exe"]
)
def test_usual_patterns_are_translated(pattern):
    """Rules' common patterns take the fast path."""
    assert polars_pattern(pattern) is not None
