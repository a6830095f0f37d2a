"""Many objects flat at once: by templates, by slots or one by one, what each gives alone."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.parse import json_templates
from topology.parse.flat_json import DEEPEST, TOO_DEEP, read, read_many
from topology.parse.parsed import MalformedError

VALUES = st.one_of(
    st.text(alphabet='a:",\\{} 5é\n', max_size=5),
    st.sampled_from(["5", "C:\\a", 'say "x"', ": 5", "-", "\\"]),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.lists(st.one_of(st.integers(0, 9), st.just("x: 5")), max_size=2),
)
NAMES = st.sampled_from(["a", "b", "Event", "c: 1", 'd"'])
SHAPES = st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",", ":  ")])
TEXTS = st.one_of(
    st.builds(
        lambda shape, separators, ascii_only: json.dumps(
            {"top": shape}, separators=separators, ensure_ascii=ascii_only
        ),
        SHAPES,
        SEPARATORS,
        st.booleans(),
    ),
    st.sampled_from(
        [
            '{"a":1}',
            '{"a":"1"}',
            '{"a":1.50}',
            '{"a":01}',
            '{"a":1e5,"b":-0}',
            '{"a":true,"b":1}',
            '{"a":"\\ud83d"}',
            '{"a":"\\x"}',
            '{"a":"x\ty"}',
            '{"a":"b":"c"}',
            '{"a":"b"',
            '{"a":1,"a":2}',
            '["a"]',
            "",
            '"',
        ]
    ),
    st.text(alphabet='{}[]":,1a\\ ', max_size=12),
)


@pytest.mark.parametrize("levels", [DEEPEST + 1, 500, 1_000, 100_000])
def test_objects_of_too_many_levels_have_one_reason(levels: int):
    """However many they are, and whoever asks."""
    assert _alone('{"a":' * levels + "1" + "}" * levels) == TOO_DEEP


def _alone(text: str) -> list[tuple[str, str]] | str:
    try:
        return list(zip(*read(text), strict=True))
    except MalformedError as error:
        return str(error)


def _together(texts: list[str]) -> list[Any]:
    flat, failed = read_many(pl.Series("text", texts, dtype=pl.String))
    found: list[Any] = [[] for _ in texts]
    for place, name, value in zip(flat.places, flat.names, flat.values, strict=True):
        found[place].append((name, value))
    if flat.numbering is not None:
        distinct = flat.numbering.distinct(flat.names).to_list()
        assert [distinct[code] for code in flat.numbering.codes] == flat.names.to_list()
    for place, reason in failed.items():
        assert found[place] == []
        found[place] = reason
    return found


@given(texts=st.lists(TEXTS, min_size=1, max_size=10))
@example(texts=['{"a":1}', '{"a":true}', '{"a": 1}', '{"a":{}}', '{"a":"1"}'])
def test_objects_give_the_same_in_any_company(texts: list[str]):
    """Names, values and their order, or the reason, whatever else is in the batch."""
    expected = [_alone(text) for text in texts]
    repeats = SMALL // len(texts) + 1
    assert _together(texts) == expected
    assert _together(texts * repeats) == expected * repeats


@pytest.mark.parametrize("others", [0, 5, 500])
def test_more_kinds_of_objects_than_templates(others: int):
    """What no template fits is read all the same."""
    kinds = json_templates.MOST_TEMPLATES + 20
    texts = [
        json.dumps({f"n{number % kinds}": number, "t": f"C:\\{number}", "q": ["a", 1.50]})
        for number in range(40 * kinds)
    ]
    texts += [json.dumps({"m": 'a "quoted" word', "n": number}) for number in range(others)]
    assert _together(texts) == [_alone(text) for text in texts]
