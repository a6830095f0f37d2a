"""What a regular expression needs is in every text that it matches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.match.regex import compiled
from topology.match.required import required

PIECES = (
    "net", "S", "k", "\u017f", "K", "ß", "İ", " ", "\\s", "\\w", "\\.", "\\\\", "\\b", ".",
    "^", "$", "[Rr]", "[ab]", "[^a]", "[]x]", "[[:alpha:]]", "[^\\]]", "(?:", "(", "(?i)",
    "(?i:", "(?-i:", "(?P<n>", ")", "|", "?", "*", "+", "*?", "{2}", "{0,2}", "{1,}", "{", "}",
    "\\x41", "\\Qa\\E", "\\pL", "ab", "ba",
)  # fmt: skip
SIGNS = "abnetskSKNET \u017fKßİrx.\\]{}A\t\nΣ"


@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.lists(st.text(SIGNS, max_size=14), min_size=1, max_size=30),
)
def test_whatever_matches_has_a_required_text(pattern, texts):
    """Also where signs have another case, items repeat or are optional, and groups have flags."""
    try:
        regex = compiled(pattern)
    except Exception:
        assert isinstance(required(pattern), frozenset)
        return
    needs = required(pattern)
    for text in [*texts, pattern, pattern.upper(), "".join(texts)]:
        if needs and regex.search(text) is not None:
            assert any(need in text.lower() for need in needs), (pattern, text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("net", "view", "Sc", "kk", "[Rr]un", "(?:ab|cd)", "(x|)", "\\s", ".")),
            st.sampled_from(("", "", "", "?", "*", "+", "{2}", "{0,1}")),
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
    st.data(),
)
def test_texts_made_to_match_have_a_required_text(items, folded, data):
    """Texts are made from the pattern, so that nearly all of them match."""
    pattern = ("(?i)" if folded else "") + "".join(
        f"(?:{item}){often}" if often and len(item) > 2 else item + often for item, often in items
    )
    text = data.draw(st.from_regex(pattern))
    if compiled(pattern).search(text) is not None:
        needs = required(pattern)
        assert not needs or any(need in text.lower() for need in needs)


@pytest.mark.parametrize(
    ("pattern", "needs"),
    [
        (r"net\s+view", {"view"}),
        (r"\s-H\s", {"-h"}),
        (r"(?i)\s(-u|--user)\s*:", {"-u", "--u"}),
        (r"(?i)powershell", {"power"}),
        (r"[Rr][Uu][Nn]dll32(?:\.exe)? \S", {"rundll32"}),
        (r"https?://[0-9]{1,3}\.", {"http"}),
        (r"(?:curl|wget).{2,}", {"curl", "wget"}),
        (r"(?:curl|wget)?.{2,}", set()),
        (r"(?:curl|.)", set()),
        (r"ab{0,2}", set()),
        (r"a\b(?m)bc$", {"bc"}),
        (r"\x41bcd", set()),
        (r"\Qabc\E", set()),
        (r"abc|", set()),
    ],
)
def test_required_texts(pattern, needs):
    """The longest text that has to be there, in lower case; none where that is not certain."""
    assert needs == required(pattern)
