"""Members of JSON texts are found by the names that people write for them, exactly as they are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.members import member

KEYS = st.sampled_from(["a", "b", "a.b", "b.a", "x-y", "@t", "a b"])
LEAVES = st.one_of(
    st.text("ab\"\\é{}[].:,' ", max_size=5), st.integers(-(2**70), 2**70), st.booleans(), st.none()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
STEPS = st.sampled_from(["a", "b", "x-y", "@t", "a b", "a[0]", "b[1]", "a[0][0]"])
NAMES = st.lists(STEPS, min_size=1, max_size=4).map(".".join)


def one(text: str, name: str) -> str | None:
    """The member of one text."""
    found = member(pl.Series([text]), name)
    return None if found is None else found.to_list()[0]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ('{"a":{"b":"x"}}', "a.b", "x"),
        ('{"id.orig_h":"10.0.0.7","id":{"resp_h":"10.0.0.8"}}', "id.orig_h", "10.0.0.7"),
        ('{"id.orig_h":"10.0.0.7","id":{"resp_h":"10.0.0.8"}}', "id.resp_h", "10.0.0.8"),
        ('{"a.b":"dots","a":{"b":"path"}}', "a.b", "path"),
        ('{"labels":{"app.kubernetes.io/name":"web"}}', "labels.app.kubernetes.io/name", "web"),
        ('{"x.y":{"z":"deep"}}', "x.y.z", "deep"),
        ('{"user-agent":"curl"}', "user-agent", "curl"),
        ('{"@timestamp":"2026"}', "@timestamp", "2026"),
        ('{"user name":"eve"}', "user name", "eve"),
        ('{"resources":[{"ARN":"arn:1"},{"ARN":"arn:2"}]}', "resources[1].ARN", "arn:2"),
        ('{"a":[[1,2],[3]]}', "a[0][1]", "2"),
        ('{"a":[1]}', "a[7]", None),
        ('{"a":null}', "a", None),
        ('{"a":{"b":null}}', "a.b", None),
        ('{"a":true,"b":false}', "b", "false"),
        ('{"a":"null"}', "a", "null"),
        ('{"a":""}', "a", ""),
        ('{"a":{"b":[1,"x"]}}', "a.b", '[1,"x"]'),
        ('{"id":340282366920938463463374607431768211456}', "id", str(2**128)),
        ('{"n":0.1234567890123456789}', "n", "0.1234567890123456789"),
        ('{"n":"0.1234567890123456789"}', "n", "0.1234567890123456789"),
        ("[1]", "a", None),
        ('{"a":1}', "a.", None),
        ('{"a":1}', "a['b']", None),
        ('{"a":1}', "", None),
    ],
)
def test_names(text: str, name: str, expected: str | None) -> None:
    """A path goes before a name with dots; what is there is as it is written."""
    assert one(text, name) == expected


def looked_up(value: Any, name: str) -> Any:
    """The same, step by step."""
    return next((found for found in _found(value, name) if found is not None), None)


def _found(value: Any, name: str) -> Iterator[Any]:
    parts = name.split(".")
    yield _walked(value, parts)
    for length in range(len(parts), 1, -1):
        for start in range(len(parts) - length + 1):
            own = ".".join(parts[start : start + length])
            if re.fullmatch(r"[^\[\]]+(\[[0-9]+\])*", own):
                yield _walked(value, [*parts[:start], own, *parts[start + length :]])


def _walked(value: Any, parts: list[str]) -> Any:
    for part in parts:
        key, *places = part.split("[")
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
        for place in places:
            number = place.removesuffix("]")
            if not number.isdigit() or not isinstance(value, list) or int(number) >= len(value):
                return None
            value = value[int(number)]
    return value


@given(st.lists(OBJECTS, min_size=1, max_size=8), NAMES)
def test_columns_find_what_a_plain_walk_finds(objects: list[dict[str, Any]], name: str) -> None:
    """In any company: texts as they are, numbers as they are written; lists and objects as JSON,
    where numbers that 64 bits do not hold may be rounded."""
    texts = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in objects]
    found = member(pl.Series(texts), name)
    assert found is not None
    for each, seen in zip(objects, found.to_list(), strict=True):
        value = looked_up(each, name)
        if isinstance(value, dict | list):
            assert seen is not None
            assert _is_long(value) or json.loads(seen) == value
        elif isinstance(value, str | None):
            assert seen == value
        else:
            assert seen == json.dumps(value)


def _is_long(value: Any) -> bool:
    """Whether there are numbers inside that 64 bits do not hold."""
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False
